"""What every test needs: eight emulated devices, and small models and rows.

The environment is set before anything imports jax.
"""

import itertools
import os
from importlib.metadata import version
from pathlib import Path

import object_store as storage_server

os.environ.setdefault("NPROC", "16")  # fewer XLA threads can starve a collective
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        # A collective that hangs fails in 20 s instead of 40 s.
        "--xla_cpu_collective_call_warn_stuck_timeout_seconds=8",
        "--xla_cpu_collective_call_terminate_timeout_seconds=20",
        # Tests compile far more than they compute.
        "--xla_backend_optimization_level=0",
        # The older emitters take a third less time over a training step. XLA ends the
        # process at a flag that it does not know, so only where this was tried.
        *(
            ["--xla_cpu_use_fusion_emitters=false"]
            if version("jax").startswith("0.10.")
            else []
        ),
    ]
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.update(storage_server.AS_IMPORTED)

import chex
import jax
import numpy as np
import pytest
import tiny_run
from hypothesis import settings
from scipy.special import erf

from amber_jax.corpora.text import clean_line, read_lines
from amber_jax.model import rows
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import PretrainingModel
from amber_jax.tokenization import sentencepiece
from amber_jax.training.checkpoint import save_params

chex.set_n_cpu_devices(8)
jax.config.update("jax_numpy_rank_promotion", "raise")
settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")

_BUCKETS = itertools.count()
PAD, CLS, SEP = 0, 2, 3  # as SentencePiece places them; 1 is [UNK], 4 is [MASK]


@pytest.fixture(scope="session")
def encoder_config():
    """Two layers of 16; wide initial weights, so that attention is far from uniform."""
    return EncoderConfig(
        vocab_size=60,
        num_layers=2,
        hidden_size=16,
        num_heads=2,
        intermediate_size=24,
        max_positions=40,
        num_segments=2,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        initializer_range=0.4,
        dtype="float32",
        remat=False,
    )


@pytest.fixture(scope="session")
def params(encoder_config):
    """Parameters of that model with no two alike: biases and scales are noisy too."""
    ids = np.zeros((1, 4), np.int32)
    mask = rows.full_attention(rows.layout(np.array([[[4, 0]]]), 4))
    initialize = jax.jit(PretrainingModel(encoder_config).init)
    fresh = initialize(jax.random.key(0), ids, ids, ids, mask, ids)["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: x + rng.normal(0, 0.1, x.shape).astype(np.float32), fresh
    )


@pytest.fixture(scope="session")
def pack():
    """A function: literal rows of (x, y) pairs to one kind of a batch.

    `pack([[(x, y), (z, None)], [(u, v)]], length=20)` makes two rows; a `None` leaves
    its text without a neighbor. Rows are numbered in `row_ids`.
    """

    def build(texts, *, length, max_pairs=3):
        token_ids = np.full((len(texts), length), PAD, np.int32)
        spans = np.zeros((len(texts), max_pairs, 2), np.int32)
        for row, pairs in enumerate(texts):
            tokens = []
            for place, (x, y) in enumerate(pairs):
                second = [] if y is None else [*y, SEP]
                tokens += [CLS, *x, SEP, *second]
                spans[row, place] = len(x) + 2, len(second)
            token_ids[row, : len(tokens)] = tokens
        row_ids = np.stack([[1, 0, row] for row in range(len(texts))]).astype(np.uint32)
        return {"token_ids": token_ids, "span_lengths": spans, "row_ids": row_ids}

    return build


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder of random rows, see `tiny_run`."""
    return tiny_run.write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def _object_server():
    with storage_server.serving() as proxy:
        yield proxy


@pytest.fixture
def object_store(_object_server, tmp_path, monkeypatch):
    """An empty bucket on this machine, that fails on request: `ObjectStore`.

    Copies of its objects go to a folder of the test's own.
    """
    monkeypatch.setenv("AMBER_CACHE", str(tmp_path / "cache"))
    with storage_server.bucket(_object_server, next(_BUCKETS)) as store:
        yield store


@pytest.fixture
def impatient(monkeypatch):
    """What the storage does not answer is asked again at once, not in half a minute."""

    class Hasty:
        @staticmethod
        async def sleep(seconds):
            del seconds

    monkeypatch.setattr("gcsfs.retry.asyncio", Hasty)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    """A small SentencePiece model that worker processes can load by path."""
    lines = itertools.chain.from_iterable(
        itertools.islice(read_lines(path), 300)
        for path in sorted((tiny_run.ROOT / "data" / "sample" / "mono").glob("*.xz"))
    )
    texts = (clean_line(line, max_bytes=1 << 16)[0] for line in lines)
    tokenizer = sentencepiece.train(
        [text for text in texts if text],
        vocab_size=2500,
        character_coverage=0.98,
        byte_fallback=False,
    )
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(params, encoder_config, tmp_path_factory):
    """That model's workdir, ready to use, with a vocabulary of numbers."""
    path = tmp_path_factory.mktemp("model") / "checkpoints" / "5"
    tokenizer = tiny_run.save_tokenizer(tmp_path_factory.mktemp("tokenizer"), words=55)
    run = {
        "step": 5,
        "encoder": encoder_config.recorded(),
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "config": {"seed": 0},
    }
    save_params(
        path,
        params,
        run,
        write_extras=lambda folder: tokenizer.save(folder / "tokenizer"),
    )
    return path.parents[1]


def _dense(x, p):
    return x @ p["kernel"] + p["bias"]


def _norm(x, p):
    centered = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-12)
    return centered / deviation * p["scale"] + p["bias"]


def _gelu(x):
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def _attention(x, mask, p, heads):
    query, key, value = (
        _dense(x, p[name]).reshape(len(x), heads, -1).swapaxes(0, 1)
        for name in ("query", "key", "value")
    )
    scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
    scores = np.where(mask, scores, -1e9)
    probs = np.exp(scores - scores.max(-1, keepdims=True))
    probs /= probs.sum(-1, keepdims=True)
    mixed = (probs @ value).swapaxes(0, 1).reshape(x.shape)
    return _dense(mixed, p["output"]), probs


def _layer(x, mask, p, heads):
    attended, probs = _attention(x, mask, p["attention"], heads)
    x = _norm(x + attended, p["attention_norm"])
    narrow = _dense(_gelu(_dense(x, p["intermediate"])), p["output"])
    return _norm(x + narrow, p["output_norm"]), probs


@pytest.fixture(scope="session")
def numpy_bert(encoder_config, params):
    """A function: the model above in NumPy, float64, on one row.

    `numpy_bert(token_ids, segment_ids, position_ids, mask)` takes three [L] and one
    [L, L] array; it returns the hidden states of every layer, embeddings first,
    [N + 1, L, D], and every layer's attention, [N, H, L, L].
    """
    encoder = jax.tree.map(lambda p: np.asarray(p, np.float64), params["encoder"])
    tables, stacked = encoder["embeddings"], encoder["layers"]["layer"]

    def bert(token_ids, segment_ids, position_ids, mask):
        x = tables["word"]["embedding"][np.asarray(token_ids)]
        x = x + tables["segment"]["embedding"][np.asarray(segment_ids)]
        x = x + tables["position"]["embedding"][np.asarray(position_ids)]
        states, attention = [_norm(x, tables["norm"])], []
        for n in range(encoder_config.num_layers):
            layer = jax.tree.map(lambda p, n=n: p[n], stacked)
            x, probs = _layer(states[-1], mask, layer, encoder_config.num_heads)
            states.append(x)
            attention.append(probs)
        return np.stack(states), np.stack(attention)

    return bert


@pytest.fixture(scope="session")
def numpy_mlm_head(params):
    """A function: hidden states [..., D] to logits [..., V], in NumPy, float64."""
    head, words = jax.tree.map(
        lambda p: np.asarray(p, np.float64),
        (params["mlm_head"], params["encoder"]["embeddings"]["word"]["embedding"]),
    )

    def logits(x):
        x = _norm(_gelu(_dense(x, head["transform"])), head["norm"])
        return x @ words.T + head["bias"]

    return logits
