"""Other people's programs on the same work, each run by its own interpreter."""
