"""A missing library is told before anything is read."""

import sys

import pytest

from amber_jax.corpora.cleaning.libraries import require_libraries
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.errors import UserError


@pytest.mark.parametrize(
    ("library", "options"),
    [
        ("py3langid", {"language_threshold": 0.9}),
        ("rensa", {"near_duplicates": 0.8}),
    ],
)
def test_a_library_is_needed_only_by_what_uses_it(monkeypatch, library, options):
    monkeypatch.setitem(sys.modules, library, None)
    require_libraries(Cleaning())
    with pytest.raises(UserError, match=rf"{library}.*pip install 'amber_jax\[corpora"):
        require_libraries(Cleaning(**options))
