"""Word alignment beside awesome-align's and SimAlign's, on the same weights.

python -m benchmarks.alignment --checkpoint=DIR --folder=HF --data=XL-WA \
    --peer_python=PEER/bin/python [--layer=8] [--pairs=60]

HF is a Hugging Face folder of BERT, DIR the same weights as a checkpoint; XL-WA is the
gold of `configs/word_alignment.py`; PEER is an environment with the extra `live`.
Every tool takes the first pairs of every language at one layer, on one core: CPU time
from text to links, without loading and, of ours, without compiling. "apart" is the
share of links that one tool has and the other has not, of all links of both.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from absl import flags

from amber_jax.commands import command_line
from amber_jax.datasets.examples import AlignedPair
from amber_jax.datasets.word_alignment_files import read_xl_wa
from amber_jax.evaluation.scores import alignment_scores
from amber_jax.inference.model import Model, load
from benchmarks import stopwatch, tables

Gold = Mapping[str, Sequence[AlignedPair]]
Links = list[list[tuple[int, int]]]

SIMALIGN = {"similarity": "cosine", "level": "piece"}
OURS = {
    "awesome-align": {"level": "piece", "threshold": 1e-3},
    "inter": SIMALIGN,
    "itermax": {**SIMALIGN, "symmetrization": "itermax"},
    "deep": {"center": True, "context": 0.1},
}
THEIRS = {"awesome-align": "awesome-align", "simalign": "SimAlign"}


def read_gold(folder: Path, pairs: int) -> Gold:
    """Returns the first pairs of every language's test gold."""
    files = sorted(folder.glob("*/test.tsv"))
    return {file.parent.name: read_xl_wa(file, first_index=0)[:pairs] for file in files}


def average_aer(gold: Gold, links: Links) -> float:
    """Returns the mean of the languages' AER, of links of all pairs in order."""
    remaining = iter(links)
    return fmean(
        alignment_scores(pairs, [next(remaining) for _ in pairs])["aer"]
        for pairs in gold.values()
    )


def apart(links: Links, others: Links) -> float:
    """Returns the share of links that only one of two has."""
    both = [(set(x), set(y)) for x, y in zip(others, links, strict=True)]
    return sum(len(x ^ y) for x, y in both) / sum(len(x | y) for x, y in both)


def peer(python: str, tool: str, folder: str, source: str, layer: int) -> dict:
    """Returns what `peers/aligners.py` prints."""
    arguments = {"tool": tool, "folder": folder, "input": source, "layer": layer}
    done = subprocess.run(
        [
            *(python, "-m", "benchmarks.peers.aligners"),
            *(f"--{name}={value}" for name, value in arguments.items()),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    for method, links in result["links"].items():
        result["links"][method] = [list(map(tuple, pair)) for pair in links]
    return result


def compare(
    model: Model, gold: Gold, layer: int, run_peer: Callable[[str, str], dict]
) -> list[tables.Row]:
    """Returns a row of figures for each tool and method."""
    pairs = [pair for language in gold.values() for pair in language]
    src, tgt = [list(pair.src) for pair in pairs], [list(pair.tgt) for pair in pairs]
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "pairs")
        lines = (f"{' '.join(pair.src)} ||| {' '.join(pair.tgt)}\n" for pair in pairs)
        source.write_text("".join(lines), "utf-8")
        peers = {tool: run_peer(tool, str(source)) for tool in THEIRS}
    ours: dict[str, Links] = {}

    def align(method: str) -> None:
        ours[method] = model.align(src, tgt, layer=layer, **OURS[method])

    seconds = stopwatch.interleaved(
        {method: lambda method=method: align(method) for method in OURS}, rounds=1
    )
    rows = []
    for tool, result in peers.items():
        for method, links in result["links"].items():
            rate = len(pairs) / result["cpu_s"]
            ours_rate = len(pairs) / seconds[method].cpu
            rows.append(
                {
                    "links": method,
                    "by": THEIRS[tool],
                    "AER, %": 100 * average_aer(gold, links),
                    "ours, %": 100 * average_aer(gold, ours[method]),
                    "apart, %": 100 * apart(ours[method], links),
                    "pairs/CPU-s": rate,
                    "ours": ours_rate,
                    "ratio": ours_rate / rate,
                }
            )
    return [
        *rows,
        {
            **dict.fromkeys(rows[0], "–"),
            "links": "deep",
            "ours, %": 100 * average_aer(gold, ours["deep"]),
            "ours": len(pairs) / seconds["deep"].cpu,
        },
    ]


def define_flags() -> None:
    for name, what in {
        "checkpoint": "of ours",
        "folder": "of the peers",
        "data": "folder of the gold alignments",
        "peer_python": "with the extra live",
    }.items():
        flags.DEFINE_string(name, None, what, required=True)
    flags.DEFINE_integer("layer", 8, "of all tools", lower_bound=0)
    flags.DEFINE_integer("pairs", 60, "of each language", lower_bound=1)
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    stopwatch.stay_on_one_core()
    gold = read_gold(Path(wanted.data), wanted.pairs)
    count = sum(map(len, gold.values()))
    rows = compare(
        load(wanted.checkpoint),
        gold,
        wanted.layer,
        lambda tool, source: peer(
            wanted.peer_python, tool, wanted.folder, source, wanted.layer
        ),
    )
    tables.show({f"{count:,} pairs, layer {wanted.layer}": rows}, wanted.json)


if __name__ == "__main__":
    define_flags()
    command_line.run(main, on_devices=True)
