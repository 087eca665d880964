"""What runs how fast: one command each, from the repository's root."""
