"""Writes which words translate each other, one line of `i-j` links a sentence pair.

amber align --checkpoint=DIR --input=FILE.tsv --output=FILE

Input lines are source<TAB>target or source ||| target, words split by spaces; a file
named - is stdin or stdout.
"""

import sys

from absl import flags

from amber_jax.storage import location

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir or checkpoint, or a Hugging Face folder"
)
_INPUT = flags.DEFINE_string("input", None, "lines of source<TAB>target; - is stdin")
_OUTPUT = flags.DEFINE_string("output", None, "file for the links; - is stdout")
_METHOD = flags.DEFINE_string("method", "similarity", "or attention, of the last layer")
_LAYER = flags.DEFINE_integer(
    "layer",
    None,
    "of the similarity; -1 is the last, the default of models of fewer than 12 layers; "
    "the default of others is in the middle, 7 of 12",
)
_SYMMETRIZATION = flags.DEFINE_string(
    "symmetrization",
    "intersection",
    "or union, grow-diag-final, grow-diag-final-and, src-to-tgt, tgt-to-src, itermax",
)
_THRESHOLD = flags.DEFINE_float(
    "threshold", 0.0, "least probability of a link; 0 links each piece to its best"
)
_LEVEL = flags.DEFINE_string(
    "level", "word", "or piece: what both directions' links are of when combined"
)
_SIMILARITY = flags.DEFINE_string("similarity", "dot", "of vectors, or cosine")
_CENTER = flags.DEFINE_bool("center", False, "subtract each side's mean vector first")
_CONTEXT = flags.DEFINE_float("context", 0.0, "weight of the neighboring pieces' links")
_PROMPT = flags.DEFINE_string(
    "prompt", "", "text before each side, or the name of a prompt of the model"
)
_DTYPE = flags.DEFINE_string(
    "dtype", None, "of activations, float32 or bfloat16; unset: as trained"
)
flags.mark_flags_as_required(["checkpoint", "input", "output"])


def main(_: list[str]) -> None:
    from amber_jax.commands.align import align_file
    from amber_jax.inference.word_links import Alignment

    align_file(
        location(_CHECKPOINT.value),
        _INPUT.value,
        _OUTPUT.value,
        Alignment(
            method=_METHOD.value,
            layer=_LAYER.value,
            symmetrization=_SYMMETRIZATION.value,
            threshold=_THRESHOLD.value,
            level=_LEVEL.value,
            similarity=_SIMILARITY.value,
            center=_CENTER.value,
            context=_CONTEXT.value,
            prompt=_PROMPT.value,
        ),
        dtype=_DTYPE.value,
        note=lambda text: print(text, file=sys.stderr),
    )
