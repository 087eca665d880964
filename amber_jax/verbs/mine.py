"""Finds the sentences of two files that translate each other.

amber mine --checkpoint=DIR --src=FILE --tgt=FILE --output=FILE.tsv

Files have one sentence a line, plain, .gz, .bz2, .xz or .zst. Out come those that
are each other's best by margin score, best first: score<TAB>source<TAB>target.
"""

import sys

from absl import flags

from amber_jax.storage import location

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir or checkpoint, or a Hugging Face folder"
)
_SRC = flags.DEFINE_string("src", None, "sentences of one language; - is stdin")
_TGT = flags.DEFINE_string("tgt", None, "sentences of another language; - is stdin")
_OUTPUT = flags.DEFINE_string("output", None, "the .tsv file; - is stdout")
_MARGIN = flags.DEFINE_string("margin", "ratio", "or distance, absolute (the cosine)")
_NEIGHBORS = flags.DEFINE_integer(
    "neighbors", 4, "sentences that a score is compared with, on each side"
)
_THRESHOLD = flags.DEFINE_float(
    "threshold", None, "least score of a pair, about 1.05 for ratio; unset: all pairs"
)
_LAYER = flags.DEFINE_integer("layer", None, "of the vectors; -1: the last")
_POOLING = flags.DEFINE_string("pooling", None, "mean, first for [CLS], or pooler")
_PROMPT = flags.DEFINE_string(
    "prompt", None, "text before every sentence, or the name of a prompt of the model"
)
_DTYPE = flags.DEFINE_string(
    "dtype", None, "of activations, float32 or bfloat16; unset: as trained"
)
flags.mark_flags_as_required(["checkpoint", "src", "tgt", "output"])


def main(_: list[str]) -> None:
    from amber_jax.commands.mine import Search, mine_files

    mine_files(
        location(_CHECKPOINT.value),
        _SRC.value,
        _TGT.value,
        _OUTPUT.value,
        search=Search(_MARGIN.value, _NEIGHBORS.value, _THRESHOLD.value),
        layer=_LAYER.value,
        pooling=_POOLING.value,
        prompt=_PROMPT.value,
        dtype=_DTYPE.value,
        note=lambda text: print(text, file=sys.stderr),
    )
