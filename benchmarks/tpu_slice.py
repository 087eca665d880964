"""A config's run on a TPU slice that is only described: libtpu compiles for it.

Nothing runs, and no TPU is needed. `libtpu` is what the extra `tpu` installs.
"""

import importlib.util
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora.records import KINDS, Corpus, Stream
from amber_jax.errors import UserError
from amber_jax.pretraining import preparation
from amber_jax.pretraining.preparation import Run
from amber_jax.pretraining.stages import Stage
from amber_jax.tokenization.tokenizer import SpecialTokens
from benchmarks import workload
from benchmarks.tpu_chips import CHIPS, Chip

_HOST = (2, 2, 1)  # chips of a host, along each axis, unless told otherwise
# libtpu looks for the machine that it is on, and there is none.
_NO_MACHINE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-256",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # another process may be compiling as well
}


class Slice(NamedTuple):
    """Described devices, and what each of them can do."""

    name: str
    devices: Sequence[Any]
    device: Chip  # of v4, whose two cores are devices of their own, half a chip


class Rows(NamedTuple):
    """What a corpus would say of its rows, where none is given."""

    row_length: int  # tokens
    pair_tokens: int  # real ones of a pair, [CLS] and [SEP]s among them
    max_pairs: int  # of a row


def described(name: str) -> Slice:
    """Returns the slice that a name as `v5e:4x4` or `v5p:2x2x1` describes.

    Raises:
        UserError: libtpu is not there, or knows no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "libtpu is not installed, which compiles for TPUs; run this in an "
            "environment that `pip install .[tpu]` was run in"
        )
    chip, _, shape = name.partition(":")
    if chip not in CHIPS or not shape.replace("x", "").isdigit():
        raise UserError(
            f"--topology has {name!r}; wanted a chip of {', '.join(CHIPS)} and the "
            "slice's shape, as v5e:4x4 or v5p:2x2x1"
        )
    os.environ.update(_NO_MACHINE)
    from jax.experimental import topologies

    sizes = [int(size) for size in shape.split("x")]
    chips = math.prod(sizes)
    host = [min(size, most) for size, most in zip(sizes, _HOST, strict=False)]
    host += [1] * (len(_HOST) - len(host))
    try:
        topology = topologies.get_topology_desc(
            platform="tpu", topology_name=name, chips_per_host_bounds=host
        )
    except jax.errors.JaxRuntimeError as error:
        raise UserError(
            f"--topology has {name!r}, which libtpu refuses: {error}; its "
            "documentation lists the shapes of slices"
        ) from error
    cores = len(topology.devices) / chips
    device = Chip(*(limit / cores for limit in CHIPS[chip]))
    return Slice(name, topology.devices, device)


def prepare(config: ConfigDict, rows: Rows, devices: Sequence[Any]) -> Run:
    """Returns the run of a config on described devices.

    Args:
        config: as `pretrain` takes it; without a corpus `rows` stand in for one, and
            mBERT's vocabulary for `model.vocab_size` 0.
        rows: of the corpus that is not there.
        devices: of a `Slice`.

    Raises:
        UserError: as `preparation.prepare`.
    """
    if config.corpus:
        return preparation.prepare(config, devices)
    config = config.copy_and_resolve_references()
    config.corpus = "none, as rows stand in for it"
    settings.validate(config)
    words = _Words(config.model.vocab_size or workload.SIZES["base"].vocab_size)
    return preparation.assemble(config, _stand_in(rows, words), words, devices)


def mean_batch(run: Run, stage: Stage) -> Any:
    """Returns a batch's `span_lengths` with pairs and tokens as rows have on average.

    All pairs of a row are equally long, and both of their sides.
    """
    batch = {}
    for kind, count in stage.rows.items():
        streams = run.corpus.streams[kind].values()
        pairs = sum(s.rate * s.pairs / s.rows for s in streams)
        tokens = sum(s.rate * s.real_tokens / s.rows for s in streams)
        side = tokens / pairs / 2
        spans = np.full((count, max(1, round(pairs)), 2), round(side), np.int32)
        batch[kind] = {"span_lengths": spans}
    return batch


class _Words:
    """What a run that only compiles asks of a tokenizer."""

    special = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
    fingerprint = ""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def punctuation(self) -> np.ndarray:
        """Returns [vocab_size] bool; which they are does not change the program."""
        return np.zeros(self.vocab_size, bool)


def _stand_in(rows: Rows, words: _Words) -> Corpus:
    pairs = min(rows.row_length // rows.pair_tokens, rows.max_pairs)
    if not pairs:
        raise UserError(
            f"--pair_tokens is {rows.pair_tokens}, more than the {rows.row_length} of "
            "--row_length; lower it"
        )
    stream = Stream("any", (), 1, pairs, pairs * rows.pair_tokens, 1.0)
    return Corpus(
        directory=Path(),
        row_length=rows.row_length,
        max_pairs=rows.max_pairs,
        rows_per_shard=1,
        vocab_size=words.vocab_size,
        tokenizer_fingerprint=words.fingerprint,
        fingerprint="",
        streams={kind: {stream.name: stream} for kind in KINDS},
    )
