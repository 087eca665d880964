"""Finds the sentences of two files that translate each other.

amber mine --checkpoint=DIR --src=FILE --tgt=FILE --output=FILE.tsv

Files have one sentence a line, plain, .gz, .bz2 or .xz. Out come those that are each
other's best by margin score, best first: score<TAB>source<TAB>target.
"""

from pathlib import Path

from absl import flags

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a run's workdir or checkpoint")
_SRC = flags.DEFINE_string("src", None, "sentences of one language")
_TGT = flags.DEFINE_string("tgt", None, "sentences of another language")
_OUTPUT = flags.DEFINE_string("output", None, "the .tsv file")
_MARGIN = flags.DEFINE_string("margin", "ratio", "or distance, absolute (the cosine)")
_NEIGHBOURS = flags.DEFINE_integer(
    "neighbours", 4, "sentences that a score is compared with, on each side"
)
_THRESHOLD = flags.DEFINE_float(
    "threshold", None, "least score of a pair, about 1.05 for ratio; unset: all pairs"
)
_LAYER = flags.DEFINE_integer("layer", None, "of the vectors; -1: the last")
_POOLING = flags.DEFINE_string("pooling", None, "mean, or first for [CLS]")
flags.mark_flags_as_required(["checkpoint", "src", "tgt", "output"])


def main(_: list[str]) -> None:
    from amber_jax.commands.embed import Wanted
    from amber_jax.commands.mine import Search, mine_files

    mine_files(
        Path(_CHECKPOINT.value),
        _SRC.value,
        _TGT.value,
        _OUTPUT.value,
        wanted=Wanted(_LAYER.value, _POOLING.value),
        search=Search(_MARGIN.value, _NEIGHBOURS.value, _THRESHOLD.value),
        note=print,
    )
