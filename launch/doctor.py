"""`amber doctor` from this checkout."""

from amber_jax.__main__ import run_verb

if __name__ == "__main__":
    run_verb("doctor")
