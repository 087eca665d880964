"""Exact nearest neighbors: ours, faiss's and NumPy's, the same vectors for all.

python -m benchmarks.retrieval [--queries=2000] [--candidates=100000] [--width=768]

On an accelerator ours runs there, the other two on the host's cores.
"""

import importlib.util
from collections.abc import Callable

import jax
import numpy as np
from absl import flags

from amber_jax.commands import command_line
from amber_jax.inference.devices import suited_to
from amber_jax.search.nearest import DEFAULT_BLOCK_SIZE, top_k
from amber_jax.search.score_blocks import Nearest
from benchmarks import stopwatch, tables, timing

_MILLION = 1_000_000

Vectors = np.ndarray  # [N, D] float32, of length 1
Way = Callable[[Vectors, Vectors, int], Nearest]


def vectors(queries: int, candidates: int, width: int) -> tuple[Vectors, Vectors]:
    """Returns candidates, and queries that are noisy copies of the first of them."""
    random = np.random.default_rng(0)
    tgt = random.standard_normal((candidates, width), np.float32)
    noise = random.standard_normal((queries, width), np.float32)
    src = tgt[np.arange(queries) % candidates] + noise
    return tuple(x / np.linalg.norm(x, axis=1, keepdims=True) for x in (src, tgt))


def with_numpy(src: Vectors, tgt: Vectors, k: int) -> Nearest:
    """Returns the neighbors from all scores at once."""
    scores = src @ tgt.T
    k = min(k, scores.shape[1])
    candidates = np.argpartition(scores, -k, axis=1)[:, -k:]
    best = np.take_along_axis(scores, candidates, axis=1)
    order = np.argsort(-best, axis=1)
    return Nearest(
        np.take_along_axis(best, order, axis=1),
        np.take_along_axis(candidates, order, axis=1).astype(np.int32),
    )


def ways(block_size: int) -> dict[str, Way]:
    """Returns the searches to compare, those with most memory last."""
    striped = suited_to(jax.devices()[0]).scores == "striped"
    searches = {
        f"amber_jax, {jax.default_backend()}": lambda src, tgt, k: top_k(
            src, tgt, k, similarity="dot", block_size=block_size, striped=striped
        )
    }
    if importlib.util.find_spec("faiss"):
        searches["faiss Flat, cpu"] = lambda src, tgt, k: top_k(
            src, tgt, k, similarity="dot", index="Flat"
        )
    return {**searches, "matmul, argpartition, cpu": with_numpy}


def compare(
    src: Vectors, tgt: Vectors, k: int, *, block_size: int, rounds: int
) -> list[tables.Row]:
    """Returns a row of figures for each way."""
    searches = ways(block_size)
    memory, answers = {}, {}
    for name, search in searches.items():  # compiles, too
        timing.forget_peak_memory()
        answers[name] = search(src, tgt, k)
        memory[name] = timing.peak_rss_mb()
    seconds = stopwatch.interleaved(
        {
            name: lambda search=search: search(src, tgt, k)
            for name, search in searches.items()
        },
        rounds=rounds,
    )
    ours = next(iter(answers.values()))
    pairs = len(src) * len(tgt)
    return [
        {
            "way": name,
            "queries/s": len(src) / seconds[name].wall,
            "queries/CPU-s": len(src) / seconds[name].cpu,
            "GFLOP/s": 2 * pairs * src.shape[1] / seconds[name].wall / 1e9,
            "GFLOP/CPU-s": 2 * pairs * src.shape[1] / seconds[name].cpu / 1e9,
            "peak MB": memory[name],
            "the same neighbors, %": 100
            * float((ours.indices == answer.indices).mean()),
            "greatest difference": float(np.abs(ours.scores - answer.scores).max()),
            "hours, 1 M x 1 M, extrapolated": seconds[name].wall
            * (_MILLION / len(src) * _MILLION / len(tgt) / 3600),
        }
        for name, answer in answers.items()
    ]


def define_flags() -> None:
    flags.DEFINE_integer("queries", 2_000, "vectors", lower_bound=1)
    flags.DEFINE_integer("candidates", 100_000, "vectors", lower_bound=1)
    flags.DEFINE_integer("width", 768, "of a vector", lower_bound=1)
    flags.DEFINE_integer("k", 4, "neighbors wanted", lower_bound=1)
    flags.DEFINE_integer("block_size", DEFAULT_BLOCK_SIZE, "as of nearest.top_k")
    flags.DEFINE_integer("rounds", 3, "timed ones", lower_bound=1)
    flags.DEFINE_bool("one_core", True, "whether the host has one core only")
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    if wanted.one_core:
        stopwatch.stay_on_one_core()
    src, tgt = vectors(wanted.queries, wanted.candidates, wanted.width)
    rows = compare(
        src,
        tgt,
        wanted.k,
        block_size=wanted.block_size,
        rounds=wanted.rounds,
    )
    scores = (
        4 * min(wanted.block_size, len(src)) * min(wanted.block_size, len(tgt)) / 1e6
    )
    title = (
        f"{len(src):,} queries x {len(tgt):,} candidates x {src.shape[1]}, k = "
        f"{wanted.k}; the vectors are {(src.nbytes + tgt.nbytes) / 1e6:,.0f} MB, a "
        f"block of scores {scores:,.0f} MB for any number of vectors"
    )
    tables.show({title: rows}, wanted.json)


if __name__ == "__main__":
    define_flags()
    command_line.run(main, on_devices=True)
