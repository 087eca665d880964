"""Files as people download them, read as lines of text: one module a format."""
