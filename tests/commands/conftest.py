"""A tiny model for commands that take sentences."""

import pytest
import tiny_checkpoint
import tiny_run

import amber_jax


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Its checkpoint, at step 7."""
    tokenizer = tiny_run.save_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return tiny_checkpoint.write(tmp_path_factory.mktemp("run") / "7", tokenizer)


@pytest.fixture(scope="module")
def model(trained):
    return amber_jax.load(trained)
