"""Models to revision files: what is written into a project."""
