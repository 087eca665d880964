"""How many copies with changed characters are found, by how much they have in common.

python -m benchmarks.near_duplicates --data=DIR

DIR holds mono/**/fr.txt.xz. Lines of more than 40 characters are taken, and copies of a
third of them in which 1 to 10 characters are others.
"""

import itertools
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.cleaning.sides import sequences
from amber_jax.corpora.duplicates import duplicates_of, find_duplicates
from amber_jax.corpora.plain import plain_file, read_slice
from amber_jax.corpora.screening import Screening, store_held_out
from amber_jax.corpora.text import clean_line, read_lines
from amber_jax.corpora.units import Unit, cut_units
from benchmarks import tables

_BOUNDS = (0.0, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_MAX_BYTES = 1 << 16


def resemblance(text: str, other: str) -> float:
    """Returns the share of the sequences of 5 characters that two texts share."""
    of_text, of_other = sequences(text), sequences(other)
    return len(of_text & of_other) / len(of_text | of_other)


def left_out(lines: Sequence[str], threshold: float, folder: Path) -> set[int]:
    """Returns the numbers of the lines that are near duplicates of one before."""
    path = folder / "lines.txt"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    cleaning = Cleaning(near_duplicates=threshold)
    store_held_out(folder, frozenset(), (), cleaning)
    slices = cut_units([plain_file(path, path)], unit_bytes=1 << 22)
    units = [Unit(number, some, ("text",), ()) for number, some in enumerate(slices)]
    find_duplicates(
        units,
        Screening(_MAX_BYTES, cleaning, folder),
        folder / "duplicates",
        mapper=map,
        report=lambda *_: None,
    )
    duplicates, before = set(), 0
    for unit in units:
        for reasons in duplicates_of(unit, folder / "duplicates").values():
            duplicates |= {before + number for number in reasons}
        before += sum(1 for _ in read_slice(unit.slices[0]))
    return duplicates


def main(_: Sequence[str]) -> None:
    """Prints the table."""
    wanted = flags.FLAGS
    draw = random.Random(0)
    lines = _lines(Path(wanted.data), wanted.lines)
    chosen = draw.sample(range(len(lines)), len(lines) // 3)
    copies = [_changed(lines[number], draw) for number in chosen]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        duplicates = left_out([*lines, *copies], wanted.threshold, Path(folder))
        seconds = time.process_time() - begin
    alike = [
        resemblance(lines[number], copy)
        for number, copy in zip(chosen, copies, strict=True)
    ]
    rows = []
    for low, high in itertools.pairwise(_BOUNDS):
        of_range = [i for i, share in enumerate(alike) if low <= share < high]
        hits = sum(len(lines) + i in duplicates for i in of_range)
        share = f"{hits / len(of_range):.1%}" if of_range else "-"
        row = {"in common": f"{low} to {high}", "copies": len(of_range), "found": share}
        rows.append(row)
    tables.show({f"near_duplicates={wanted.threshold}": rows}, wanted.json)
    others = sum(number < len(lines) for number in duplicates)
    count = len(lines) + len(copies)
    print(f"\n{others:,} of the {len(lines):,} lines themselves are left out")
    print(f"{count / seconds:,.0f} lines a second of one core")


def _lines(data: Path, count: int) -> list[str]:
    texts = (
        clean_line(raw, max_bytes=_MAX_BYTES)[0]
        for path in sorted((data / "mono").rglob("*.txt*"))
        for raw in itertools.islice(read_lines(path), count)
    )
    return list(dict.fromkeys(text for text in texts if text and len(text) > 40))


def _changed(text: str, draw: random.Random) -> str:
    letters = [*text]
    for place in draw.choices(range(len(text)), k=draw.randint(1, 10)):
        letters[place] = draw.choice("abcdefgh")
    return "".join(letters)


def define_flags() -> None:
    """Defines what the program is told."""
    flags.DEFINE_string("data", None, "folder of text", required=True)
    flags.DEFINE_integer("lines", 2500, "of each file")
    flags.DEFINE_float("threshold", 0.8, "as near_duplicates of a config")
    tables.define_flag()


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
