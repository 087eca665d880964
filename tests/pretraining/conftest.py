"""Rows of all kinds, packed."""

import pytest
from packed_rows import build_batch


@pytest.fixture(scope="session")
def batch(pack):
    return build_batch(pack)
