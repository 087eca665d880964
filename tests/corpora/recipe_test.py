"""What a recipe's fingerprint depends on, and what a config must say."""

import dataclasses

import pytest

from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.recipe import REQUIRED, build_options, recipe_fingerprint
from amber_jax.errors import UserError


def of(recipe, **options):
    options = dataclasses.replace(recipe.options, **options)
    return recipe_fingerprint(dataclasses.replace(recipe, options=options), "tokens")


def test_only_options_away_from_their_default_count(recipe, sample):
    sources = recipe.sources[:0]
    recipe = dataclasses.replace(recipe, sources=sources)
    # Of a recipe without sources, as it was before there were options with defaults.
    assert of(recipe) == (
        "aaba7096a5a433b418d98aa0562116854f279d2c2364895f23a664e888ff8cd9"
    )
    assert of(recipe, cleaning=Cleaning()) == of(recipe)
    lower, higher = (of(recipe, cleaning=Cleaning(min_letters=x)) for x in (0.5, 0.6))
    assert len({of(recipe), lower, higher}) == 3


def test_a_config_may_leave_cleaning_out_and_name_some_of_it(recipe):
    settings = {name: vars(recipe.options).get(name) for name in REQUIRED}
    assert "cleaning" not in settings
    assert build_options(settings) == recipe.options
    some = build_options({**settings, "cleaning": {"min_letters": 0.5}})
    assert some.cleaning == Cleaning(min_letters=0.5)
    with pytest.raises(UserError, match=r"there is no cleaning\.min_leters"):
        build_options({**settings, "cleaning": {"min_leters": 0.5}})
