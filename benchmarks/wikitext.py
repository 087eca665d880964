"""Text out of a Wikipedia dump: this package beside `wikiextractor`, on the same file.

python -m benchmarks.wikitext --dump=made-multistream.xml.bz2 --make=FILE,FILE
python -m benchmarks.wikitext --dump=DUMP --peer_python=VENV/bin/python

With --make the dump is made of the paragraphs of these files first, see `dumps.py`.
The peer is started with the Python that has it, with one worker and without expanding
templates. Seconds are of CPU time, of all processes; megabytes are of XML.
"""

import collections
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.text import read_chunks, split_lines
from benchmarks import dumps, tables

_OURS = """
import sys
from pathlib import Path
from amber_jax.corpora.plain import plain_rows
from amber_jax.corpora.sources import WikipediaSource
plain_rows(WikipediaSource("xx", Path(sys.argv[1])), Path(sys.argv[2]))
"""
_PEER = ("--json", "--no-templates", "--processes", "1", "--quiet", "--output", "-")


def cpu_seconds(command: list[str], output: Path) -> tuple[float, float]:
    """Returns CPU seconds and megabytes at most of a program whose output is kept."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with output.open("wb") as file:
        subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, after.ru_maxrss / 1024


def kept(paragraphs: Iterable[str], expected: Path) -> dict[str, float | int | str]:
    """Returns how the paragraphs compare with those of a made dump, if they are known.

    Shares are of all paragraphs expected, and of all words kept or expected.
    """
    found = collections.Counter(paragraphs)
    row: dict[str, float | int | str] = {
        "paragraphs": found.total(),
        "MB": sum(len(text.encode()) * n for text, n in found.items()) / 1e6,
    }
    if not expected.is_file():
        return row
    known = collections.Counter(_json_paragraphs(expected))
    words, known_words = _words(found), _words(known)
    return row | {
        "exact paragraphs": (found & known).total() / known.total(),
        "word precision": (words & known_words).total() / words.total(),
        "word recall": (words & known_words).total() / known_words.total(),
    }


def compare(dump: Path, peer_python: str | None) -> list[tables.Row]:
    """Returns a row of figures for each program."""
    expected = dump.with_suffix(".jsonl")
    megabytes = sum(map(len, read_chunks(dump))) / 1e6
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        lines, answer = Path(folder) / "lines", Path(folder) / "answer"
        ours = [sys.executable, "-c", _OURS, str(dump), str(lines)]
        programs = {"this package": (ours, lines)}
        if peer_python:
            module = [peer_python, "-m", "wikiextractor.WikiExtractor"]
            programs["wikiextractor"] = ([*module, *_PEER, str(dump)], answer)
        for name, (command, output) in programs.items():
            seconds, memory = cpu_seconds(command, answer)
            read = _json_paragraphs if output == answer else _line_paragraphs
            speed = megabytes / seconds
            rows.append(
                {
                    "program": name,
                    "MB/s": speed,
                    "of ours": speed / rows[0]["MB/s"] if rows else 1.0,
                    "MB of memory": memory,
                    **kept(read(output), expected),
                }
            )
    return rows


def _line_paragraphs(path: Path) -> Iterator[str]:
    return (line.decode() for line in split_lines(read_chunks(path)) if line)


def _json_paragraphs(path: Path) -> Iterator[str]:
    for line in split_lines(read_chunks(path)):
        for paragraph in json.loads(line)["text"].split("\n"):
            if text := " ".join(paragraph.split()):
                yield text


def _words(paragraphs: collections.Counter[str]) -> collections.Counter[str]:
    words: collections.Counter[str] = collections.Counter()
    for text, count in paragraphs.items():
        for word in text.split():
            words[word] += count
    return words


def define_flags() -> None:
    flags.DEFINE_string("dump", None, "of pages, as downloaded or made", required=True)
    flags.DEFINE_list("make", [], "text files to make the dump of")
    flags.DEFINE_integer("megabytes", 60, "of XML to make", lower_bound=1)
    flags.DEFINE_string("peer_python", None, "of an environment with wikiextractor")
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    dump = Path(wanted.dump)
    if wanted.make:
        files = [Path(name) for name in wanted.make]
        dumps.write_dump(files, dump, megabytes=wanted.megabytes, language="xx")
    tables.show({dump.name: compare(dump, wanted.peer_python)}, wanted.json)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
