"""What each way of cleaning leaves out of a folder of text, and what it costs.

python -m benchmarks.cleaning --data=DIR

DIR holds mono/**/fr.txt.xz, files of one language; of each file so many --lines are
taken, and every fiftieth of them is an evaluation sentence. One process; mBERT's
vocabulary.
"""

import dataclasses
import itertools
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.sources import TextSource
from amber_jax.corpora.text import read_lines
from benchmarks import sample, tables

_WAYS = {
    "nothing": {},
    "normalization=NFKC": {"normalization": "NFKC"},
    "the filters of characters": {
        **{"min_characters": 5, "min_letters": 0.5, "max_digits": 0.3},
        **{"max_repeated": 0.5, "min_script": 0.5},
    },
    "language_threshold=0.8": {"language_threshold": 0.8},
    "evaluation_words=8": {"evaluation_words": 8},
    "exact_duplicates": {"exact_duplicates": True},
    "near_duplicates=0.8": {"near_duplicates": 0.8},
}


def main(_: Sequence[str]) -> None:
    """Prints the table."""
    wanted = flags.FLAGS
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        paths = sorted((Path(wanted.data) / "mono").rglob("*.txt*"))
        sources = [
            _copied(path, work / f"{n}.txt", wanted.lines)
            for n, path in enumerate(paths)
        ]
        evaluation = work / "evaluation.txt"
        held_out = (itertools.islice(read_lines(s.path), 0, None, 50) for s in sources)
        _write(evaluation, itertools.chain(*held_out))
        recipe = Recipe(
            tuple(sources), (evaluation,), sample.vocabulary(work), sample.OPTIONS
        )
        size = sum(source.path.stat().st_size for source in sources)
        rows = [_row(way, recipe, size, work / way) for way in _WAYS]
    tables.show({f"{size / 1e6:.0f} MB of {len(paths)} files": rows}, wanted.json)


def _copied(path: Path, copy: Path, lines: int) -> TextSource:
    _write(copy, itertools.islice(read_lines(path), lines))
    return TextSource(path.name.split(".")[0], copy)


def _write(path: Path, lines: Iterable[bytes]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def _row(way: str, recipe: Recipe, size: int, output: Path) -> dict[str, Any]:
    options = dataclasses.replace(recipe.options, cleaning=Cleaning(**_WAYS[way]))
    recipe = dataclasses.replace(recipe, options=options)
    begin = time.process_time()
    manifest, _ = build_corpus(
        recipe, output, processes=1, report=lambda *_: None, note=lambda _: None
    )
    seconds = time.process_time() - begin
    lines = sum(facts["inputs"] for facts in manifest["streams"]["mono"].values())
    rejects = {
        reason: f"{count / lines:.2%}" for reason, count in manifest["rejects"].items()
    }
    return {
        "way": way,
        "seconds": seconds,
        "MB/s": size / 1e6 / seconds,
        "left out": ", ".join(map(" ".join, rejects.items())),
    }


def define_flags() -> None:
    """Defines what the program is told."""
    flags.DEFINE_string("data", None, "folder of text", required=True)
    flags.DEFINE_integer("lines", 2000, "of each file")
    tables.define_flag()


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
