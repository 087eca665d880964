"""Text out of a Wikipedia dump: this package beside others, on the same file.

python -m benchmarks.wikitext --dump=made-multistream.xml.bz2 --make=FILE,FILE
python -m benchmarks.wikitext --dump=DUMP --peer_python=VENV/bin/python

With --make the dump is made of the paragraphs of these files first, see `dumps.py`.
`wikiextractor` and `mwparserfromhell` are started with the Python that has them, the
former with one worker and without expanding templates. Seconds are of CPU time, of all
processes; megabytes are of XML.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.text import read_chunks, split_lines
from benchmarks import dumps, tables

Text = collections.Counter[str]  # paragraphs

_OURS = """
import sys
from pathlib import Path
from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.downloads import WikipediaSource
for row in WikipediaSource("xx", Path(sys.argv[1])).rows(Conversion()):
    print(*row)
"""
_REFERENCE = Path(__file__).with_name("peers") / "mwparser.py"
_PEER = ("--json", "--no-templates", "--processes", "1", "--quiet", "--output", "-")


def cpu_seconds(command: list[str], output: Path) -> tuple[float, float]:
    """Returns CPU seconds and megabytes at most of a program whose output is kept.

    It is told to have at least the memory of this process, which starts it.
    """
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def kept(extracted: Text, ours: Text, known: Text) -> dict[str, float | int]:
    """Returns how much a program kept, and how that agrees with ours and the known.

    Shares of words are of all words that the one or the other has.
    """
    words, our_words, known_words = map(_words, (extracted, ours, known))
    row: dict[str, float | int] = {
        "paragraphs": extracted.total(),
        "words": words.total(),
        "ours of its words": (words & our_words).total() / words.total(),
        "its of our words": (words & our_words).total() / our_words.total(),
    }
    if not known:
        return row
    return row | {
        "exact paragraphs": (extracted & known).total() / known.total(),
        "word precision": (words & known_words).total() / words.total(),
        "word recall": (words & known_words).total() / known_words.total(),
    }


def compare(dump: Path, peer_python: str | None) -> list[tables.Row]:
    """Returns a row of figures for each program."""
    expected = dump.with_suffix(".jsonl")
    megabytes = sum(map(len, read_chunks(dump))) / 1e6
    programs = {"this package": [sys.executable, "-c", _OURS, str(dump)]}
    if peer_python:
        module = [peer_python, "-m", "wikiextractor.WikiExtractor"]
        programs["wikiextractor"] = [*module, *_PEER, str(dump)]
        programs["mwparserfromhell"] = [peer_python, str(_REFERENCE), str(dump)]
    rows: list[tables.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        # All before a text is read, for the sake of the memory that they are told.
        answers = {name: Path(folder) / name for name in programs}
        spent = {
            name: cpu_seconds(command, answers[name])
            for name, command in programs.items()
        }
        known = Text(_json_paragraphs(expected)) if expected.is_file() else Text()
        ours = Text()
        for name, answer in answers.items():
            seconds, memory = spent[name]
            extracted = Text((_json_paragraphs if rows else _line_paragraphs)(answer))
            ours = ours or extracted
            speed = megabytes / seconds
            rows.append(
                {
                    "program": name,
                    "MB/s": speed,
                    "of ours": speed / rows[0]["MB/s"] if rows else 1.0,
                    "MB of memory": memory,
                    **kept(extracted, ours, known),
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


def _words(paragraphs: Text) -> Text:
    words = Text()
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
