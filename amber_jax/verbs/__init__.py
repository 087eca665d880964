"""The verbs of the command `amber`: a module each, its flags and its `main`."""
