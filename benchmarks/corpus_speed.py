"""Speed of corpus building beside its tokenizer's own, in CPU time.

python -m benchmarks.corpus_speed [--megabytes=16 --tokenizer=vocab.txt --text=FILE]

The tokenizer alone encodes clean lines, 256 at a time; the unit of work reads, cleans,
encodes and packs; the build does all from the text to the manifest. CPU time of all
processes: on machines that others use as well, two processes that take the CPU time of
one are twice as fast where there are two cores for them.
"""

import itertools
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.sources import TextSource
from amber_jax.corpora.text import LINE_CAP_BYTES, clean_line, read_chunks, read_lines
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.tokenization import load_tokenizer
from benchmarks import tables

ROOT = Path(__file__).resolve().parents[1]
MONO = ROOT / "data" / "sample" / "mono"
VOCABULARY = ROOT / "tests" / "data" / "mbert_vocab.txt.xz"
OPTIONS = BuildOptions(
    row_length=256,
    max_pairs=16,
    rows_per_shard=4096,
    alpha=0.7,
    max_side_tokens=126,
    cut_long_sides=True,
    max_length_ratio=4.0,
    max_line_bytes=1 << 16,
    unit_bytes=1 << 22,
    parallel_as_text=True,
)


def define_flags() -> None:
    flags.DEFINE_float("megabytes", 16, "of text; the sample's is repeated")
    flags.DEFINE_string("tokenizer", None, "what builds take; unset: mBERT's")
    flags.DEFINE_string("text", None, "lines of text in the place of the sample")
    tables.define_flag()


def main(_: list[str]) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # as in builds
    wanted = flags.FLAGS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = Path(wanted.tokenizer or _unpacked(VOCABULARY, folder))
        text = folder / "text.txt"
        sources = [Path(wanted.text)] if wanted.text else sorted(MONO.glob("*.xz"))
        size = _write(text, sources, int(wanted.megabytes * 1e6))
        seconds = measured(text, tokenizer, folder)
    alone = seconds["the tokenizer alone"]
    rows = [
        {
            "work": work,
            "CPU seconds": round(spent, 2),
            "MB/s a core": round(size / spent / 1e6, 2),
            "of the tokenizer's": f"{alone / spent:.0%}",
        }
        for work, spent in seconds.items()
    ]
    tables.show({f"{size / 1e6:.1f} MB of text": rows}, wanted.json)


def measured(text: Path, tokenizer: Path, folder: Path) -> dict[str, float]:
    """Returns the CPU seconds of each work on a file of text."""
    recipe = Recipe((TextSource("en", text),), (), tokenizer, OPTIONS)
    loaded = load_tokenizer(tokenizer)
    cleaned = (clean_line(x, max_bytes=LINE_CAP_BYTES)[0] for x in read_lines(text))
    lines = [line for line in cleaned if line]

    def encode() -> None:
        for start in range(0, len(lines), 256):
            loaded.encode_batch(lines[start : start + 256])

    def build(processes: int) -> Callable[[], Any]:
        output = folder / str(processes)
        quiet = {"report": lambda *_: None, "note": lambda _: None}
        return lambda: build_corpus(recipe, output, processes=processes, **quiet)

    return {
        "the tokenizer alone": _cpu_seconds(encode),
        "a build by one process": _cpu_seconds(build(1)),
        "a build by two": _cpu_seconds(build(2)),
    }


def _cpu_seconds(work: Callable[[], Any]) -> float:
    before = _spent()
    work()
    return _spent() - before


def _spent() -> float:
    """CPU seconds of this process and of those of its own that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _write(path: Path, sources: list[Path], size: int) -> int:
    """Writes lines of the sources in turn, each with a number; returns the bytes."""
    with path.open("wb") as file:
        for line in _numbered(sources):
            file.write(line)
            if file.tell() >= size:
                return file.tell()
    raise AssertionError


def _numbered(sources: list[Path]) -> Iterator[bytes]:
    """Yields the lines of all sources for ever; a number makes those alike differ."""
    for time_through in itertools.count():
        for source in sources:
            for line in read_lines(source):
                yield line + (b" %d\n" % time_through if line else b"\n")


def _unpacked(path: Path, folder: Path) -> Path:
    vocabulary = folder / "vocab.txt"
    vocabulary.write_bytes(b"".join(read_chunks(path)))
    return vocabulary


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
