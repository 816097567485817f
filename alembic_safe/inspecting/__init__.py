"""What is true: of the history, of the target, of what is ours in it."""
