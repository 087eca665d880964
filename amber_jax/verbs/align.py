"""Writes which words translate each other, one line of `i-j` links a sentence pair.

amber align --checkpoint=DIR --input=FILE.tsv --output=FILE

Input lines are source<TAB>target or source ||| target, words split by spaces; a file
named - is stdin or stdout.
"""

import sys
from pathlib import Path

from absl import flags

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir or checkpoint, or a Hugging Face folder"
)
_INPUT = flags.DEFINE_string("input", None, "lines of source<TAB>target; - is stdin")
_OUTPUT = flags.DEFINE_string("output", None, "file for the links; - is stdout")
_METHOD = flags.DEFINE_string("method", "similarity", "or attention, of the last layer")
_LAYER = flags.DEFINE_integer("layer", -1, "of the similarity; -1 is the last")
_SYMMETRIZATION = flags.DEFINE_string(
    "symmetrization",
    "intersection",
    "or union, grow-diag-final, grow-diag-final-and, src-to-tgt, tgt-to-src",
)
_THRESHOLD = flags.DEFINE_float(
    "threshold", 0.0, "least probability of a link; 0 links each piece to its best"
)
flags.mark_flags_as_required(["checkpoint", "input", "output"])


def main(_: list[str]) -> None:
    from amber_jax.commands.align import align_file
    from amber_jax.inference.word_links import Alignment

    align_file(
        Path(_CHECKPOINT.value),
        _INPUT.value,
        _OUTPUT.value,
        Alignment(_METHOD.value, _LAYER.value, _SYMMETRIZATION.value, _THRESHOLD.value),
        note=lambda text: print(text, file=sys.stderr),
    )
