"""The paper's whole schedule by arithmetic: FLOPs, and hours of a chip.

python -m benchmarks.schedule [--tokens=63 --mfu=0.5]

A million batches of 8,192 neighboring sentence pairs for masked language modeling,
then a million of 2,048 pairs, half of them translations for all losses: what
configs/amber_base.py trains. Nothing is measured here: hours are FLOPs divided by a
chip's rated bfloat16 speed and the share of it that a program is assumed to reach.

Source: Hu et al. 2021, section 3.1, for the schedule; the makers' data sheets for the
chips.
"""

import functools
from collections.abc import Callable

import numpy as np
from absl import flags

from amber_jax.commands import command_line
from amber_jax.model import flops
from amber_jax.model.encoder import EncoderConfig
from amber_jax.training.slices import CHIPS as TPUS
from benchmarks import tables, workload

STAGES = {"masked": (10**6, 8192, 0), "aligned": (10**6, 1024, 1024)}
"""Steps, neighboring pairs and translations of a batch."""
CHIPS = {"H200": 989e12} | {f"TPU {name}": TPUS[name].peak for name in ("v4", "v5e")}
"""Dense bfloat16 FLOP/s."""
RATE = 0.15  # of tokens predicted


def define_flags() -> None:
    flags.DEFINE_integer("tokens", 63, "real ones of a sentence pair", lower_bound=6)
    flags.DEFINE_float("mfu", 0.5, "share of the rated speed", 0.01, 1.0)
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    rows = [
        {
            "what is computed": name,
            "FLOPs": f"{needed:.2e}",
            **{
                f"{chip} hours": round(needed / (peak * wanted.mfu) / 3600)
                for chip, peak in CHIPS.items()
            },
        }
        for name, needed in schedules(base(), wanted.tokens).items()
    ]
    title = f"pairs of {wanted.tokens} tokens, at {wanted.mfu:.0%} of the rated speed"
    tables.show({title: rows}, wanted.json)


def base() -> EncoderConfig:
    """Returns the paper's encoder, with mBERT's vocabulary."""
    size = workload.SIZES["base"]
    return EncoderConfig(
        vocab_size=size.vocab_size,
        num_layers=size.num_layers,
        hidden_size=size.hidden_size,
        num_heads=size.num_heads,
        intermediate_size=size.intermediate_size,
        max_positions=512,
        num_segments=2,
        hidden_dropout=0.1,
        attention_dropout=0.1,
        initializer_range=0.02,
        dtype="bfloat16",
        remat=False,
    )


def schedules(config: EncoderConfig, tokens: int) -> dict[str, int]:
    """Returns FLOPs of the schedule: as here, and as a plain program spends them.

    Args:
        config: the encoder's sizes.
        tokens: real ones of a pair, [CLS] and [SEP]s among them.
    """
    return {
        "real tokens, packed; head on 15 %; three passes": _whole(
            functools.partial(_pair, config, tokens)
        ),
        "pairs padded to 128; head on 15 %; three passes": _whole(
            functools.partial(_pair, config, 128)
        ),
        "pairs padded to 256; head everywhere; four passes": _whole(
            functools.partial(_plain_pair, config, 256)
        ),
    }


def _whole(of_pair: Callable[..., int]) -> int:
    return sum(
        steps * (neighbors * of_pair(aligned=False) + pairs * of_pair(aligned=True))
        for steps, neighbors, pairs in STAGES.values()
    )


def _spans(tokens: int) -> np.ndarray:
    return np.array([[[tokens - tokens // 2, tokens // 2]]])


def _pair(config: EncoderConfig, tokens: int, *, aligned: bool) -> int:
    """Returns training FLOPs of one pair; `tokens` of it are computed."""
    spans = _spans(tokens)
    needed = flops.masked_lm(config, spans, row_length=tokens, masking_rate=RATE)
    if aligned:
        needed += flops.directed(config, spans, sentences=True, words=True)
    return needed


def _plain_pair(config: EncoderConfig, tokens: int, *, aligned: bool) -> int:
    """Returns the same with a head on every token, and each side encoded alone too."""
    spans = _spans(tokens)
    needed = flops.masked_lm(config, spans, row_length=tokens, masking_rate=1.0)
    if aligned:
        # Passes 2 and 3 for the words, and for the sentences a pass of lone sides,
        # which is what the first sides of both passes are.
        needed += flops.directed(config, spans, sentences=False, words=True)
        needed += flops.directed(config, spans, sentences=True, words=False)
    return needed


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
