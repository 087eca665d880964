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


def build(one: Comparison) -> list[Program]:
    """Returns the programs of a comparison, the reference first.

    Raises:
        UserError: something that they need is not there.
    """
    if one.work == "losses":
        return _losses(one)
    _check_peers(one)
    return _full(one) if one.work == "full" else _pairs(one)


def _losses(one: Comparison) -> list[Program]:
    pairs = ("--lengths=pairs",)
    return [
        _ours(one, "masked_lm alone", *pairs),
        _ours(one, "all three losses", *pairs, f"--losses={_ALL_LOSSES}"),
    ]


def _full(one: Comparison) -> list[Program]:
    programs = [_ours(one, OURS), _huggingface(one, "huggingface, as shipped")]
    if one.device == "gpu":
        compiled = _huggingface(one, "huggingface, compiled", COMPILED)
        tuned_flags = (TUNED_HEAD, COMPILED)
        return [
            *programs,
            *([compiled] if one.with_tuned else []),
            *_tuned_huggingface(one, "huggingface, tuned", *tuned_flags),
        ]
    programs += _tuned_huggingface(one, "huggingface, tuned", TUNED_HEAD)
    if one.google_bert:
        shipped = _google_bert(one)
        programs.append(shipped)
        if one.with_tuned:
            settings = tuned.allocator_settings(one.allocator)
            name = f"{shipped.name}, tuned"
            programs.append(
                dataclasses.replace(shipped, name=name, environment=settings)
            )
    return programs


def _pairs(one: Comparison) -> list[Program]:
    pairs = "--lengths=pairs"
    return [
        _ours(one, OURS, pairs),
        _ours(one, _ALONE, pairs, "--nopacked"),
        _huggingface(one, _PADDED, pairs, "--pad=row"),
        _huggingface(one, _LONGEST, pairs, "--pad=longest"),
        *_tuned_huggingface(
            one, f"{_LONGEST}, tuned", pairs, "--pad=longest", TUNED_HEAD
        ),
    ]


def _rows(one: Comparison) -> str:
    length = one.row_length or (_PAIR_ROW if one.work == "pairs" else 0)
    return f"--row_length={length}"


def _ours(one: Comparison, name: str, *flags: str) -> Program:
    dtype = ("--dtype=bfloat16",) if one.device == "gpu" else ()
    module = ("-m", "benchmarks.training_step")
    # A device that is not there is an error then, and there is one of it.
    platform = "cuda" if one.device == "gpu" else "cpu"
    return Program(
        name,
        (sys.executable, *module, *one.shared, _rows(one), *dtype, *flags),
        environment={"JAX_PLATFORMS": platform, "CUDA_VISIBLE_DEVICES": "0"},
    )


def _huggingface(one: Comparison, name: str, *flags: str) -> Program:
    gpu = ON_GPU if one.device == "gpu" else ()
    start = (one.peer_python, *HUGGINGFACE)
    return Program(name, (*start, *one.shared, _rows(one), *gpu, *flags))


def _tuned_huggingface(one: Comparison, name: str, *flags: str) -> list[Program]:
    if not one.with_tuned:
        return []
    program = _huggingface(one, name, *flags)
    if one.device == "gpu":
        return [program]
    settings = tuned.mkl_settings(one.folder, one.allocator)
    return [dataclasses.replace(program, environment=settings)]


def _google_bert(one: Comparison) -> Program:
    module = ("-m", "benchmarks.peers.google_bert", f"--root={one.google_bert}")
    return Program(
        "google-research/bert", (one.peer_python, *module, *one.shared, _rows(one))
    )


def _check_peers(one: Comparison) -> None:
    if not Path(one.peer_python).is_file():
        raise UserError(
            f"--peer_python is {one.peer_python or 'not set'}, no interpreter; give it "
            "the python of an environment that `pip install .[bench]` was run in"
        )
    if one.google_bert and not (Path(one.google_bert) / "run_pretraining.py").is_file():
        raise UserError(
            f"--google_bert is {one.google_bert!r}, which has no run_pretraining.py; "
            "give it a checkout of github.com/google-research/bert"
        )
    if one.google_bert and (one.work, one.device) != ("full", "cpu"):
        raise UserError(
            f"--google_bert is set with --work={one.work} on a {one.device}, where it "
            "is not compared; leave it out"
        )
