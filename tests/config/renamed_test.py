import re
from pathlib import Path

import pytest

from amber_jax.config.evaluation import EVALUATION_RANGES, WORD_ALIGNMENT_RANGES
from amber_jax.config.finetuning import FINETUNING_RANGES
from amber_jax.config.pretraining import PRETRAINING_RANGES
from amber_jax.config.renamed import RENAMED, explanations, migrated

PAGE = Path(__file__).parents[2] / "docs" / "renamed.md"


def test_a_stored_config_is_read_under_new_names():
    stored = {
        "seed": 1,
        "sentence_alignment": {"normalise": True, "scale": 20.0},
        "evaluations": [{"name": "a", "centre": True, "neighbours": 4}],
        "symmetrisation": "union",
        "dropout_generator": "threefry2x32",  # gone
    }
    assert migrated(stored) == {
        "seed": 1,
        "sentence_alignment": {"normalize": True, "scale": 20.0},
        "evaluations": [{"name": "a", "center": True, "neighbors": 4}],
        "symmetrization": "union",
    }
    assert migrated(migrated(stored)) == migrated(stored)


@pytest.mark.parametrize(
    ("name", "explanation"),
    [
        ("--config.evaluations[0].centre", "called evaluations.center now"),
        ("centre", "called center now"),  # as an error in a config file has it
        ("--neighbours", "called --neighbors now"),
        ("--config.dropout_generator", "is gone: dropout is a hash of its place"),
    ],
)
def test_an_old_name_is_explained_by_the_new_one(name, explanation):
    (sentence,) = explanations(["--config.seed", name])
    assert sentence.endswith(explanation)


def test_the_page_has_the_table():
    rows = re.findall(r"^\| `(.+?)` \| (.+) \|$", PAGE.read_text("utf-8"), re.M)
    assert {old: new.strip("`") for old, new in rows} == RENAMED


def keys_of(ranges, prefix=""):
    for key, allowed in ranges.items():
        name = f"{prefix}{key}"
        yield name
        group = allowed[0] if isinstance(allowed, list) else allowed
        if isinstance(group, dict):
            yield from keys_of(group, f"{name}.")


def test_no_old_name_is_a_setting_and_every_new_one_is():
    tables = (
        *(PRETRAINING_RANGES, FINETUNING_RANGES),
        *(EVALUATION_RANGES, WORD_ALIGNMENT_RANGES),
    )
    settings = {key for table in tables for key in keys_of(table)}
    assert not settings & RENAMED.keys()
    new = {new for new in RENAMED.values() if " " not in new and new[:2] != "--"}
    assert new <= settings
