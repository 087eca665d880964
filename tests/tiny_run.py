"""A corpus of random rows and a run that trains on it in seconds.

As a config file: `--config=tests/tiny_run.py --config.corpus=DIR`.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora import records
from amber_jax.corpora.packing import best_fit, lay_out
from amber_jax.tokenization import Tokenizer, load_tokenizer
from amber_jax.tokenization.tokenizer import SPECIAL_PIECES

ROOT = Path(__file__).parents[1]
ROW_LENGTH, MAX_PAIRS, ROWS_PER_SHARD = 32, 3, 8
STREAMS = {"mono": {"en": 3, "fr": 2}, "pair": {"en-fr": 2, "de-en": 1}}
"""Shards of each stream."""


def save_tokenizer(directory: Path, words: int = 59) -> Tokenizer:
    """Writes a WordPiece of `words` numbers, two commas among them; returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    pieces = [*SPECIAL_PIECES, ",", "##,", *map(str, range(words - 2))]
    path = directory / "vocab.txt"
    path.write_text("\n".join(pieces) + "\n", "utf-8")
    tokenizer = load_tokenizer(path)
    tokenizer.save(directory)
    return tokenizer


def write_corpus(
    directory: Path,
    *,
    tokenizer: Tokenizer | None = None,
    row_length: int = ROW_LENGTH,
    max_pairs: int = MAX_PAIRS,
    streams: Mapping[str, Mapping[str, int]] = STREAMS,
    seed: int = 0,
) -> Path:
    """Writes a corpus of random pairs into `directory` and returns it."""
    tokenizer = tokenizer or save_tokenizer(directory / "tokenizer")
    tokenizer.save(directory / "tokenizer")
    random = np.random.default_rng(seed)
    facts = {
        kind: {
            name: _write_stream(
                directory, kind, name, shards, tokenizer, row_length, max_pairs, random
            )
            for name, shards in shards_of.items()
        }
        for kind, shards_of in streams.items()
    }
    for of_kind in facts.values():
        total = sum(stream["real_tokens"] for stream in of_kind.values())
        for stream in of_kind.values():
            stream["rate"] = stream["real_tokens"] / total
    separators = tokenizer.special.separators
    records.write_manifest(
        directory,
        {
            "row_length": row_length,
            "max_pairs": max_pairs,
            "rows_per_shard": ROWS_PER_SHARD,
            "vocab_size": tokenizer.vocab_size,
            "tokenizer_fingerprint": tokenizer.fingerprint,
            **({"separators": separators} if separators != 1 else {}),
            "streams": facts,
        },
    )
    return directory


def _write_stream(directory, kind, name, shards, tokenizer, row_length, pairs, random):
    rows = random_rows(
        shards * ROWS_PER_SHARD,
        tokenizer,
        row_length=row_length,
        max_pairs=pairs,
        alone=0.3 if kind == "mono" else 0.0,
        random=random,
    )
    files = []
    for number, shard in enumerate(np.split(rows, shards)):
        path = directory / records.shard_name(kind, name, number, shards)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = records.write_shard(path, shard)
        files.append({**written, "file": path.relative_to(directory).as_posix()})
    spans = rows[:, row_length:]
    return {
        "shards": files,
        "rows": len(rows),
        "pairs": int((spans[:, ::2] > 0).sum()),
        "real_tokens": int(spans.sum()),
    }


def random_rows(
    count: int,
    tokenizer: Tokenizer,
    *,
    row_length: int,
    max_pairs: int,
    alone: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Returns `count` packed rows [count, L + 2 N]; a share `alone` has one side."""
    words = tokenizer.special.words(tokenizer.vocab_size)
    separators = tokenizer.special.separators
    longest = (row_length - 2 - separators) // 2

    def sentence() -> list[int]:
        length = random.integers(1, longest + 1)
        return random.integers(words.start, words.stop, length).tolist()

    pairs = [
        (sentence(), [] if random.random() < alone else sentence())
        for _ in range(max_pairs * count)
    ]
    rows = best_fit(
        pairs, row_length=row_length, max_pairs=max_pairs, separators=separators
    )
    chosen = list(itertools.islice(rows, count))
    return lay_out(
        chosen, tokenizer.special, row_length=row_length, max_pairs=max_pairs
    )


def retrieval(table: Path) -> ConfigDict:
    """Returns an evaluation on the sentence pairs of a many-way table."""
    toy = settings.retrieval("toy")
    toy.path = str(table)
    toy.max_length = 16
    toy.batch_size = 8
    return toy


def get_config(variant: str = "sa") -> ConfigDict:
    """Two stages of three steps on the rows of `write_corpus`, dropout on."""
    config = settings.pretraining()
    config.model.num_layers = 2
    config.model.hidden_size = 16
    config.model.num_heads = 2
    config.model.intermediate_size = 32
    config.model.max_positions = 32
    first, second = settings.stage("monolingual"), settings.stage("aligned")
    first.monolingual_pairs = 16
    second.monolingual_pairs = 0
    second.translation_pairs = 16
    for stage in (first, second):
        stage.num_steps = 3
        stage.warmup_steps = 1
        stage.peak_learning_rate = 1e-2
    config.stages = (first, settings.as_variant(second, variant))
    config.log_every = 1
    config.save_every = 1
    config.keep_checkpoints = 10
    config.tensorboard = False
    return config
