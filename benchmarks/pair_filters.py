"""Pairs that are no translations: what is left out here, and what by OpusFilter.

python -m benchmarks.pair_filters --table=ntrex.tsv.xz --peer_python=PEER/bin/python

TABLE is a many-way file. Its pairs with English are taken as good; beside them stand
pairs that were spoiled, each kind in a file of its own. PEER is an environment with
`opusfilter`, which gets the filters that stand for the options here, at thresholds of
the same meaning, and the same language identification (py3langid). Seconds are of CPU
time, of all processes; this package's hold tokens and shards as well.
"""

import dataclasses
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.accounts import read_inputs
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.sources import TsvSource
from amber_jax.corpora.text import many_way_columns, read_lines
from benchmarks import sample, tables

Pairs = list[tuple[str, str]]

_CLEANING = Cleaning(
    min_letters=0.5,
    min_script=0.5,
    language_threshold=0.8,
    language_min_characters=0,
    max_copied=0.8,
    exact_duplicates=True,
)
_LONGEST_RATIO = 4.0  # here in tokens, there in characters
_SCRIPTS = {"ar": "Arabic", "hi": "Devanagari", "ru": "Cyrillic", "zh": "Han"}
_TIMES = 20  # that a repeated pair stands in its file


def spoiled(pairs: Pairs, others: Sequence[str]) -> dict[str, Pairs]:
    """Returns {kind: pairs}: good ones, and those that were made bad.

    Args:
        pairs: (English, translation).
        others: translations of the same sentences into a third language.
    """
    few, pairs, others = pairs[:_TIMES], pairs[_TIMES:], others[_TIMES:]
    sources, targets = zip(*pairs, strict=True)
    changed = {
        "copied": sources,
        "another language": others,
        "an eighth of it": [text[: max(1, len(text) // 8)] for text in targets],
        "no letters": [f"{n} 3.14 / 42 %" for n in range(len(pairs))],
        "one line further": (*targets[1:], targets[0]),
    }
    return {
        "good": pairs,
        "sides swapped": [(target, source) for source, target in pairs],
        **{
            kind: list(zip(sources, texts, strict=True))
            for kind, texts in changed.items()
        },
        f"{_TIMES} times the same": [pair for pair in few for _ in range(_TIMES)],
    }


def kept_here(
    files: Sequence[Path], code: str, folder: Path
) -> tuple[list[int], float]:
    """Returns how many pairs of each file a build keeps, and its CPU seconds."""
    options = dataclasses.replace(
        sample.OPTIONS, cleaning=_CLEANING, max_length_ratio=_LONGEST_RATIO
    )
    sources = tuple(TsvSource("en", code, path) for path in files)
    recipe = Recipe(sources, (), sample.vocabulary(folder), options)
    output = folder / "corpus"
    begin = time.process_time()
    build_corpus(
        recipe, output, processes=1, report=lambda *_: None, note=lambda _: None
    )
    seconds = time.process_time() - begin
    return [facts.kept for facts in read_inputs(output)], seconds


def kept_there(
    files: Sequence[Path], code: str, folder: Path, python: Path
) -> tuple[list[int], float]:
    """Returns the same of OpusFilter, which filters, then drops repeated pairs."""
    steps, outputs = [], []
    for path in files:
        sides = [path.with_suffix(f".{side}") for side in ("en", code)]
        for side, texts in zip(sides, zip(*_read(path), strict=True), strict=True):
            side.write_text("".join(f"{text}\n" for text in texts), "utf-8")
        passed, unique = (
            [f"{side}.{step}" for side in sides] for step in ("passed", "unique")
        )
        filters = {
            "inputs": [*map(str, sides)],
            "outputs": passed,
            "filters": _filters(code),
        }
        steps.append({"type": "filter", "parameters": filters})
        repeated = {"inputs": passed, "outputs": unique}
        steps.append({"type": "remove_duplicates", "parameters": repeated})
        outputs.append(Path(unique[0]))
    config = folder / "opusfilter.json"  # JSON is YAML
    config.write_text(json.dumps({"common": {}, "steps": steps}), "utf-8")
    begin = _children_seconds()
    subprocess.run(
        [python.with_name("opusfilter"), config], check=True, stderr=subprocess.DEVNULL
    )
    seconds = _children_seconds() - begin
    return [sum(1 for _ in read_lines(path)) for path in outputs], seconds


def _filters(code: str) -> list[dict[str, Any]]:
    scripts = ["Latin", _SCRIPTS.get(code, "Latin")]
    return [
        {"LengthFilter": {"unit": "char", "min_length": 1, "max_length": 10_000}},
        {"LengthRatioFilter": {"unit": "char", "threshold": _LONGEST_RATIO}},
        {"AlphabetRatioFilter": {"threshold": _CLEANING.min_letters}},
        {
            "CharacterScoreFilter": {
                "scripts": scripts,
                "thresholds": [_CLEANING.min_script] * 2,
            }
        },
        {"LangidFilter": {"languages": ["en", code], "thresholds": [0.2, 0.2]}},
        {"SimilarityFilter": {"threshold": _CLEANING.max_copied}},
    ]


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _read(path: Path) -> Pairs:
    rows = (line.decode().split("\t") for line in read_lines(path))
    return [(source, target) for source, target in rows]


def _columns(table: Path, codes: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the rows of a table that have all of these languages."""
    names = many_way_columns(table)
    places = [names.index(code) for code in codes]
    rows = (line.decode().split("\t") for line in read_lines(table))
    next(rows)
    chosen = (tuple(row[place] for place in places) for row in rows)
    return [row for row in chosen if all(row)]


def main(_: Sequence[str]) -> None:
    """Prints a table for each language."""
    wanted = flags.FLAGS
    shown = {}
    for code, other in zip(wanted.languages, _next_ones(wanted.languages), strict=True):
        rows = _columns(Path(wanted.table), ("en", code, other))
        kinds = spoiled([row[:2] for row in rows], [row[2] for row in rows])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = [folder / f"{number}.tsv" for number in range(len(kinds))]
            for path, pairs in zip(files, kinds.values(), strict=True):
                path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
            ours, seconds = kept_here(files, code, folder)
            theirs, their_seconds = kept_there(
                files, code, folder, Path(wanted.peer_python)
            )
        title = (
            f"en-{code}: kept; CPU seconds {seconds:.1f} here, {their_seconds:.1f} of "
            f"OpusFilter, {their_seconds / seconds:.1f} times"
        )
        shown[title] = [
            {"pairs": kind, "number": len(pairs), "here": here, "OpusFilter": there}
            for (kind, pairs), here, there in zip(
                kinds.items(), ours, theirs, strict=True
            )
        ]
    tables.show(shown, wanted.json)


def _next_ones(codes: Sequence[str]) -> list[str]:
    return [*codes[1:], codes[0]]


def define_flags() -> None:
    """Defines what the program is told."""
    flags.DEFINE_string("table", None, "many-way file", required=True)
    flags.DEFINE_string("peer_python", None, "with opusfilter", required=True)
    flags.DEFINE_list("languages", ["fr", "de", "ru", "zh"], "paired with English")
    tables.define_flag()


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
