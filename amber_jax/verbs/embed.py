"""Writes the vectors of sentences: one a line in, a float32 .npy [lines, D] out.

amber embed --checkpoint=DIR --input=FILE --output=FILE.npy

The input is plain, .gz, .bz2 or .xz, or - for stdin. Vectors are made as in training
unless told otherwise; row n belongs to line n.
"""

from pathlib import Path

from absl import flags

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a run's workdir or checkpoint")
_INPUT = flags.DEFINE_string("input", None, "one sentence a line; - is stdin")
_OUTPUT = flags.DEFINE_string("output", None, "the .npy file")
_LAYER = flags.DEFINE_integer("layer", None, "-1: the last; 0: embeddings")
_POOLING = flags.DEFINE_string("pooling", None, "mean, or first for [CLS]")
_NORMALIZE = flags.DEFINE_bool("normalize", False, "scale vectors to length 1")
flags.mark_flags_as_required(["checkpoint", "input", "output"])


def main(_: list[str]) -> None:
    from amber_jax.commands.embed import Wanted, embed_file

    embed_file(
        Path(_CHECKPOINT.value),
        _INPUT.value,
        _OUTPUT.value,
        Wanted(_LAYER.value, _POOLING.value, _NORMALIZE.value),
        note=print,
    )
