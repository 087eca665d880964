"""Sentences to vectors: ours against transformers, one encoder, the same sentences.

python -m benchmarks.encoders --checkpoint=DIR --text=TABLE \
    --peer_model=FOLDER --peer_python=PEER/bin/python

FOLDER is a model of Hugging Face's format, DIR the same model here, TABLE a many-way
.tsv file, and PEER an environment with the extra `bench`. Programs take turns on one
core, round by round; ratios are by CPU seconds, which other load disturbs least. Our
first round, in which programs are compiled, is printed too.
"""

import contextlib
import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.text import read_lines
from amber_jax.inference.devices import tokens_at_once
from amber_jax.inference.model import Model, load
from amber_jax.inference.row_batches import row_batches
from benchmarks import stopwatch, tables

BATCH = 64  # sentences of all positions, as `encode` has it
TOLERANCE = 1e-5  # of vectors, between sentences together and each alone


class Round(NamedTuple):
    """One time through all sentences."""

    wall: float  # seconds
    cpu: float  # seconds
    positions: int  # computed, padding included


Program = Callable[[], Round]


def read_sentences(table: Path, languages: Sequence[str], count: int) -> list[str]:
    """Returns the first `count` rows of a many-way table, language after language."""
    lines = (line.decode("utf-8").rstrip("\n") for line in read_lines(table))
    header, *cells = (line.split("\t") for line in lines)
    columns = [header.index(language) for language in languages]
    return [row[column] for column in columns for row in cells[:count] if row[column]]


def ours(model: Model, sentences: list[str]) -> Program:
    """Returns the program that encodes with this library."""
    pieces = model.tokenizer.encode_batch(sentences)
    texts = [[(ids[: model.config.max_positions - 2], [])] for ids in pieces]
    tokens = tokens_at_once(model.device, most=BATCH * model.config.max_positions)
    batches = row_batches(texts, model.tokenizer.special, tokens=tokens)
    positions = sum(batch.token_ids.size for batch in batches)

    def encode() -> Round:
        seconds = stopwatch.once(
            lambda: model.encode(sentences, batch_size=BATCH, progress=False)
        )
        return Round(*seconds, positions)

    return encode


@contextlib.contextmanager
def peer(python: str, model: str, text: Path, batch: int, vectors: Path) -> Iterator:
    """Gives the program that encodes with transformers, in a process of its own."""
    command = [python, "-m", "benchmarks.peers.sentences", f"--model={model}"]
    command += [f"--text={text}", f"--batch={batch}", f"--vectors={vectors}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def encode() -> Round:
            process.stdin.write("\n")
            process.stdin.flush()
            return Round(*json.loads(process.stdout.readline()).values())

        yield encode


def compare(programs: dict[str, Program], *, rounds: int) -> dict[str, list[Round]]:
    """Returns every program's rounds, the first of which warms up."""
    timed: dict[str, list[Round]] = {name: [] for name in programs}
    for _ in range(rounds + 1):
        for name, program in programs.items():
            timed[name].append(program())
    return timed


def rows_of(
    timed: dict[str, list[Round]], *, sentences: int, tokens: int
) -> list[tables.Row]:
    """Returns a row of figures for each program; the first is compared with all."""
    reference = next(iter(timed.values()))
    return [
        {
            "program": name,
            "sentences/CPU-s": sentences / _median(of_program),
            "the first is x": statistics.median(
                theirs.cpu / own.cpu
                for own, theirs in zip(reference[1:], of_program[1:], strict=True)
            ),
            "tokens/CPU-s": tokens / _median(of_program),
            "real of computed positions, %": 100 * tokens / of_program[0].positions,
            "first round, CPU-s": of_program[0].cpu,
            "a round, CPU-s": _median(of_program),
        }
        for name, of_program in timed.items()
    ]


def _median(rounds: list[Round]) -> float:
    return statistics.median(timed.cpu for timed in rounds[1:])


def define_flags() -> None:
    flags.DEFINE_string("checkpoint", None, "the model here", required=True)
    flags.DEFINE_string("text", None, "a many-way .tsv file", required=True)
    flags.DEFINE_list("languages", "en,de,ru,zh,hi,th", "of the table")
    flags.DEFINE_integer("sentences", 100, "of every language", lower_bound=1)
    flags.DEFINE_string("peer_model", None, "the model in Hugging Face's format")
    flags.DEFINE_string("peer_python", None, "interpreter; unset: ours alone")
    flags.DEFINE_list("peer_batches", "16,64", "sentences of the peer's batches")
    flags.DEFINE_integer("rounds", 3, "timed ones", lower_bound=1)
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    stopwatch.stay_on_one_core()
    sentences = read_sentences(Path(wanted.text), wanted.languages, wanted.sentences)
    model = load(wanted.checkpoint)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        text, vectors = Path(folder) / "text.txt", Path(folder) / "vectors.npy"
        text.write_text("".join(f"{line}\n" for line in sentences), "utf-8")
        programs = {"amber_jax": ours(model, sentences)}
        for batch in wanted.peer_batches if wanted.peer_python else []:
            name = f"transformers, by length, {batch} at once"
            programs[name] = stack.enter_context(
                peer(wanted.peer_python, wanted.peer_model, text, int(batch), vectors)
            )
        timed = compare(programs, rounds=wanted.rounds)
        stack.close()
        together = model.encode(sentences, progress=False)
        if vectors.exists():
            difference = np.abs(together - np.load(vectors)).max()
            print(f"greatest difference from the peer's vectors: {difference:.1e}")
    alone = np.concatenate([model.encode([line]) for line in sentences[::50]])
    np.testing.assert_allclose(together[::50], alone, atol=TOLERANCE)
    tokens = sum(
        min(len(ids) + 2, model.config.max_positions)
        for ids in model.tokenizer.encode_batch(sentences)
    )
    title = (
        f"{len(sentences):,} sentences in {len(wanted.languages)} languages, "
        f"{tokens:,} tokens, {model.config.num_layers} layers of "
        f"{model.config.hidden_size}, one core"
    )
    rows = rows_of(timed, sentences=len(sentences), tokens=tokens)
    tables.show({title: rows}, wanted.json)


if __name__ == "__main__":
    define_flags()
    command_line.run(main, on_devices=True)
