"""Where the time goes when 10,000 sentence pairs are read and labelled.

python -m benchmarks.prediction [--source=PATTERN --language=en] [--hidden_size=768]

Reads an XNLI file (or makes one of the sample's sentences), and labels its first
10,000 rows with a random encoder. Printed: seconds of every part, and how many of the
positions that the model computes are real tokens, in packed rows and as padding would
have it. Everything but the model should be a small share of the whole.
"""

import functools
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from absl import flags

from amber_jax.commands import command_line
from amber_jax.data.labelled import packed
from amber_jax.datasets.readers import read_examples
from amber_jax.finetuning.heads import HEADS
from amber_jax.finetuning.labelling import (
    build_predictor,
    init_labelling,
    predict_labels,
)
from amber_jax.finetuning.zero_shot import build_model, row_shape
from amber_jax.model.encoder import EncoderConfig
from amber_jax.tasks import TASKS
from amber_jax.tokenization import load_tokenizer
from benchmarks import sample, tables

ROWS, MAX_LENGTH, BATCH = 10_000, 128, 32


def rows_of_the_sample(folder: Path) -> str:
    """Returns an XNLI file of neighbouring sentences with labels in turn."""
    sentences = [
        line.replace("\t", " ").replace('"', "'") for line in sample.read_aloud("en")
    ]
    labels = TASKS["xnli"].labels
    rows = [
        f"{sentences[i % len(sentences)]}\t{sentences[(i + 1) % len(sentences)]}"
        f"\t{labels[i % len(labels)]}\n"
        for i in range(ROWS)
    ]
    path = folder / "test-en.tsv"
    path.write_text("".join(rows), "utf-8")
    return str(path)


def encoder_config(vocab_size: int) -> EncoderConfig:
    """Returns the encoder that the flags ask for."""
    return sample.encoder_config(
        vocab_size,
        num_layers=flags.FLAGS.num_layers,
        hidden_size=flags.FLAGS.hidden_size,
        max_positions=MAX_LENGTH,
    )


def padded_share(lengths: np.ndarray) -> float:
    """Returns the real share of batches in file order, padded to their longest."""
    batches = [lengths[i : i + BATCH] for i in range(0, len(lengths), BATCH)]
    return lengths.sum() / sum(len(batch) * batch.max() for batch in batches)


def define_flags() -> None:
    flags.DEFINE_string("source", None, "An XNLI file; {language} stands in it.")
    flags.DEFINE_string("language", "en", "Of the source.")
    flags.DEFINE_integer("num_layers", 2, "Of the encoder.")
    flags.DEFINE_integer("hidden_size", 128, "Of the encoder.")
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    task = TASKS["xnli"]
    seconds = {}

    def timed(name: str, work):
        begin = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - begin
        return result

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = load_tokenizer(sample.vocabulary(Path(folder)))
        source = wanted.source or rows_of_the_sample(Path(folder))
        read = timed(
            "reading", lambda: read_examples("xnli", source, language=wanted.language)
        )
    pairs = read.examples[:ROWS]
    encode = functools.partial(
        HEADS[task.kind].encode, pairs, tokenizer, task.label_ids, max_length=MAX_LENGTH
    )
    encoded = timed("tokenising", encode)
    shape = row_shape(task, tokenizer, MAX_LENGTH)
    rows, _ = timed("packing", lambda: packed(encoded, shape, multiple=BATCH))
    model = build_model(task, encoder_config(tokenizer.vocab_size))
    params = init_labelling(model, {}, jax.random.key(0))
    predictor = build_predictor(model)
    predict_labels(predictor, params, encoded[:64], shape)  # compiles
    whole = timed(
        "packing and model",
        lambda: predict_labels(predictor, params, encoded, shape),
    )
    lengths = np.array([len(x) + len(y) + 3 for x, y, *_ in encoded])
    real = int(lengths.sum())
    model_seconds = seconds["packing and model"] - seconds["packing"]
    total = seconds["reading"] + seconds["tokenising"] + seconds["packing and model"]
    shares = {
        "packed rows": real / rows["token_ids"].size,
        "padded to the batch's longest": padded_share(lengths),
        f"padded to {MAX_LENGTH}": real / (len(lengths) * MAX_LENGTH),
    }
    tables.show(
        {
            f"{len(whole):,} pairs, {real:,} real tokens": [
                {"part": name, "seconds": value, "% of all": 100 * value / total}
                for name, value in {**seconds, "the model": model_seconds}.items()
            ],
            "Real of computed positions": [
                {
                    "rows": name,
                    "%": 100 * float(share),
                    "packed rows compute less by": float(shares["packed rows"] / share),
                }
                for name, share in shares.items()
            ],
        },
        wanted.json,
    )


if __name__ == "__main__":
    define_flags()
    command_line.run(main, on_devices=True)
