"""What text may be left out of a corpus, and why: all of it off until a config asks."""
