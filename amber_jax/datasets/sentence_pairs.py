"""Labeled sentence pairs in files: XNLI, MultiNLI, SICK and PAWS-X.

A file is a table of tab-separated fields. Quotation marks in it mean nothing, so that
a field never swallows a line; XTREME's files have some that its writer added.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from amber_jax.datasets.examples import LabeledPair
from amber_jax.datasets.text_lines import excerpt, line_error, numbered_lines
from amber_jax.errors import UserError
from amber_jax.tasks import TASKS

NO_GOLD = "pairs without gold label (-)"

# Of XNLI's machine translations of MultiNLI.
_SPELLINGS = {"contradictory": "contradiction"}

# What the columns are called, lower-cased: in XNLI-1.0 and MultiNLI, in XNLI-MT, in
# SICK's two releases, in PAWS-X.
_FIRST = ("sentence1", "premise", "sentence_a")
_SECOND = ("sentence2", "hypo", "hypothesis", "sentence_b")
_LABEL = ("gold_label", "label", "entailment_judgment", "entailment_label")
_LANGUAGE = "language"
_UNTRANSLATED = "NS"
_UNDECIDED = "-"


class Layout(NamedTuple):
    """Which field of a row is what."""

    num_fields: int
    first: int
    second: int
    label: int
    language: int | None  # of files that hold several languages


_XTREME = Layout(num_fields=3, first=0, second=1, label=2, language=None)


def read_pairs(
    path: Path, *, language: str, task: str
) -> tuple[list[LabeledPair], dict[str, int]]:
    """Returns the pairs of a file, and how many were left out, by reason.

    Pairs of PAWS-X that have no translation are read like all others, because XTREME
    counts them; see `is_translated`. A file with column names in its first line may
    have them in any order; without them its columns are first sentence, second
    sentence, label, as XTREME writes them.

    Args:
        path: the file.
        language: of a file that names a language in each row, only these are read.
        task: whose labels are wanted; upper case and "contradictory" are accepted.

    Raises:
        UserError: the file cannot be read, or a row has other fields or labels.

    Source: cims.nyu.edu/~sbowman/xnli; github.com/google-research-datasets/paws;
    google-research/xtreme, utils_preprocess.py.
    """
    pairs: list[LabeledPair] = []
    dropped: dict[str, int] = {}
    others: dict[str, None] = {}  # languages passed over, in order
    layout = _XTREME
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        if number == 1 and (named := _named_columns(fields)):
            layout = named
            continue
        _check_fields(fields, layout, path, number)
        if layout.language is not None and fields[layout.language] != language:
            others[fields[layout.language]] = None
            continue
        if task == "xnli" and fields[layout.label].strip() == _UNDECIDED:
            # MultiNLI, where annotators disagreed.
            dropped[NO_GOLD] = dropped.get(NO_GOLD, 0) + 1
            continue
        label = fields[layout.label].strip().lower()
        label = _SPELLINGS.get(label, label)
        if label not in TASKS[task].labels:
            raise _label_error(fields[layout.label], task, path, number)
        first, second = fields[layout.first].strip(), fields[layout.second].strip()
        pairs.append(LabeledPair(first, second, label))
    if others and not pairs:
        raise UserError(
            f"{path} has no rows of the language {language!r}; it has "
            f"{', '.join(others)}"
        )
    return pairs, dropped


def is_translated(pair: LabeledPair) -> bool:
    """Returns whether PAWS-X's translators left out neither side of the pair.

    Source: google-research-datasets/paws, pawsx/README.md: `NS` stands for them.
    """
    return _UNTRANSLATED not in (pair.first, pair.second)


def _named_columns(fields: Sequence[str]) -> Layout | None:
    names = [field.strip().lower() for field in fields]
    places = [
        next((names.index(name) for name in known if name in names), None)
        for known in (_FIRST, _SECOND, _LABEL)
    ]
    if None in places:
        return None
    language = names.index(_LANGUAGE) if _LANGUAGE in names else None
    return Layout(len(names), *places, language)


def _check_fields(
    fields: Sequence[str], layout: Layout, path: Path, number: int
) -> None:
    if len(fields) == layout.num_fields:
        return
    if layout is _XTREME and len(fields) == 2:
        raise line_error(
            path,
            number,
            "has two sentences and no label, as XTREME's own test files; nothing can "
            "be scored, take the labels from the original data",
        )
    raise line_error(
        path,
        number,
        f"has {len(fields)} fields separated by tabs; wanted {layout.num_fields}",
    )


def _label_error(label: str, task: str, path: Path, number: int) -> UserError:
    labels = ", ".join(TASKS[task].labels)
    return line_error(
        path,
        number,
        f"has the label {excerpt(label)}; wanted one of {labels}",
    )
