"""What training a vocabulary costs by text and pieces, and what a larger one would.

python -m benchmarks.vocabulary_training --text=FOLDER

FOLDER is laid out as configs/corpus_folder.py says. Each vocabulary is trained by the
command, in a process of its own: CPU seconds of all of it and peak memory, also by
million characters of the sample. The last row is arithmetic, at the rates of the row
before.
"""

import runpy
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.vocabulary import configured_sample
from amber_jax.errors import UserError
from benchmarks import tables
from benchmarks.wikitext import cpu_seconds

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "tokenizer.py"
LARGE_PIECES, LARGE_MILLIONS = 250_000, 640.0  # 5 million sentences of 128 characters


def define_flags() -> None:
    flags.DEFINE_string("text", None, "folder of text", required=True)
    flags.DEFINE_list("sentences", ["16000", "150000"], "of each sample")
    flags.DEFINE_list("pieces", ["32000", "128000"], "of the vocabulary of each")
    tables.define_flag()


def main(_: Sequence[str]) -> None:
    wanted = flags.FLAGS
    sentences, pieces = ([*map(int, x)] for x in (wanted.sentences, wanted.pieces))
    if len(sentences) != len(pieces):
        raise UserError(
            f"--sentences={sentences} and --pieces={pieces}; wanted as many of both"
        )
    sizes = zip(sentences, pieces, strict=True)
    rows = [_measured(wanted.text, *size) for size in sizes]
    seconds = rows[-1]["seconds a million"] * LARGE_MILLIONS
    megabytes = rows[-1]["MB a million"] * LARGE_MILLIONS
    rows.append(_row(LARGE_PIECES, LARGE_MILLIONS, seconds, megabytes))
    tables.show({"vocabularies, the last by arithmetic": rows}, wanted.json)


def millions_of(text: str, sentences: int) -> float:
    """Returns how many million characters the sample of a vocabulary has."""
    config = runpy.run_path(str(CONFIG))["get_config"](text)
    config.sentences = sentences
    sample = configured_sample(config)
    return sum(map(len, sample.sentences)) / 1e6


def _measured(text: str, sentences: int, pieces: int) -> dict[str, int | float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, str(ROOT / "launch" / "train_tokenizer.py")),
            *(f"--config={CONFIG}:{text}", f"--config.sentences={sentences}"),
            f"--config.vocab_size={pieces}",
            f"--output={Path(folder) / 'vocabulary'}",
        ]
        seconds, megabytes = cpu_seconds(command, Path(folder) / "output.txt")
    return _row(pieces, millions_of(text, sentences), seconds, megabytes)


def _row(
    pieces: int, millions: float, seconds: float, megabytes: float
) -> dict[str, int | float]:
    return {
        "pieces": pieces,
        "million characters": millions,
        "CPU seconds": seconds,
        "MB": megabytes,
        "seconds a million": seconds / millions,
        "MB a million": megabytes / millions,
    }


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
