"""Which programs a comparison runs, and with which settings."""

import dataclasses
import sys
from pathlib import Path

from amber_jax.errors import UserError
from benchmarks import tuned
from benchmarks.rounds import Program

WORK = ("full", "pairs", "losses")
DEVICES = ("cpu", "gpu")
HUGGINGFACE = ("-m", "benchmarks.peers.huggingface")
TUNED_HEAD, COMPILED = "--head=masked", "--compile"
ON_GPU = ("--device=cuda", "--dtype=bfloat16")
OURS = "amber_jax"
REFERENCES = {"full": OURS, "pairs": OURS, "losses": "masked_lm alone"}
_PAIR_ROW = 256  # tokens, as the paper's pairs are believed to have at most
_ALL_LOSSES = "masked_lm,sentence_alignment,word_alignment"
_ALONE, _PADDED, _LONGEST = (
    *("amber_jax, one pair a row", "huggingface, padded to the row"),
    "huggingface, padded to the batch's longest",
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared, on what."""

    work: str  # one of WORK
    device: str  # one of DEVICES
    shared: tuple[str, ...]  # flags that every program gets
    row_length: int  # tokens; 0: the preset's
    peer_python: str  # interpreter with the extra `bench`
    google_bert: str  # checkout, or empty
    with_tuned: bool
    allocator: Path | None  # for tuned peers
    folder: Path  # for what tuning needs


def build(comparison: Comparison) -> list[Program]:
    """Returns the programs of a comparison, the reference first.

    Raises:
        UserError: something that they need is not there.
    """
    if comparison.work == "losses":
        return _losses(comparison)
    _check_peers(comparison)
    return _full(comparison) if comparison.work == "full" else _pairs(comparison)


def _losses(comparison: Comparison) -> list[Program]:
    pairs = ("--lengths=pairs",)
    return [
        _ours(comparison, "masked_lm alone", *pairs),
        _ours(comparison, "all three losses", *pairs, f"--losses={_ALL_LOSSES}"),
    ]


def _full(comparison: Comparison) -> list[Program]:
    programs = [
        _ours(comparison, OURS),
        _huggingface(comparison, "huggingface, as shipped"),
    ]
    if comparison.device == "gpu":
        compiled = _huggingface(comparison, "huggingface, compiled", COMPILED)
        tuned_flags = (TUNED_HEAD, COMPILED)
        return [
            *programs,
            *([compiled] if comparison.with_tuned else []),
            *_tuned_huggingface(comparison, "huggingface, tuned", *tuned_flags),
        ]
    programs += _tuned_huggingface(comparison, "huggingface, tuned", TUNED_HEAD)
    if comparison.google_bert:
        shipped = _google_bert(comparison)
        programs.append(shipped)
        if comparison.with_tuned:
            settings = tuned.allocator_settings(comparison.allocator)
            name = f"{shipped.name}, tuned"
            programs.append(
                dataclasses.replace(shipped, name=name, environment=settings)
            )
    return programs


def _pairs(comparison: Comparison) -> list[Program]:
    pairs = "--lengths=pairs"
    return [
        _ours(comparison, OURS, pairs),
        _ours(comparison, _ALONE, pairs, "--nopacked"),
        _huggingface(comparison, _PADDED, pairs, "--pad=row"),
        _huggingface(comparison, _LONGEST, pairs, "--pad=longest"),
        *_tuned_huggingface(
            comparison, f"{_LONGEST}, tuned", pairs, "--pad=longest", TUNED_HEAD
        ),
    ]


def _rows(comparison: Comparison) -> str:
    length = comparison.row_length or (_PAIR_ROW if comparison.work == "pairs" else 0)
    return f"--row_length={length}"


def _ours(comparison: Comparison, name: str, *flags: str) -> Program:
    dtype = ("--dtype=bfloat16",) if comparison.device == "gpu" else ()
    module = ("-m", "benchmarks.training_step")
    # A device that is not there is an error then, and there is one of it.
    platform = "cuda" if comparison.device == "gpu" else "cpu"
    return Program(
        name,
        (
            sys.executable,
            *module,
            *comparison.shared,
            _rows(comparison),
            *dtype,
            *flags,
        ),
        environment={"JAX_PLATFORMS": platform, "CUDA_VISIBLE_DEVICES": "0"},
    )


def _huggingface(comparison: Comparison, name: str, *flags: str) -> Program:
    gpu = ON_GPU if comparison.device == "gpu" else ()
    start = (comparison.peer_python, *HUGGINGFACE)
    return Program(name, (*start, *comparison.shared, _rows(comparison), *gpu, *flags))


def _tuned_huggingface(comparison: Comparison, name: str, *flags: str) -> list[Program]:
    if not comparison.with_tuned:
        return []
    program = _huggingface(comparison, name, *flags)
    if comparison.device == "gpu":
        return [program]
    settings = tuned.mkl_settings(comparison.folder, comparison.allocator)
    return [dataclasses.replace(program, environment=settings)]


def _google_bert(comparison: Comparison) -> Program:
    module = ("-m", "benchmarks.peers.google_bert", f"--root={comparison.google_bert}")
    return Program(
        "google-research/bert",
        (comparison.peer_python, *module, *comparison.shared, _rows(comparison)),
    )


def _check_peers(comparison: Comparison) -> None:
    python, google_bert = comparison.peer_python, comparison.google_bert
    if not Path(python).is_file():
        raise UserError(
            f"--peer_python is {python or 'not set'}, no interpreter; give it "
            "the python of an environment that `pip install .[bench]` was run in"
        )
    if google_bert and not (Path(google_bert) / "run_pretraining.py").is_file():
        raise UserError(
            f"--google_bert is {google_bert!r}, which has no run_pretraining.py; "
            "give it a checkout of github.com/google-research/bert"
        )
    work, device = comparison.work, comparison.device
    if google_bert and (work, device) != ("full", "cpu"):
        raise UserError(
            f"--google_bert is set with --work={work} on a {device}, where it "
            "is not compared; leave it out"
        )
