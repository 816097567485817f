"""One record in, one rendering out: text, JSON, a live display."""
