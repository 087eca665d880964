"""Writes the vectors of sentences: one a line in, a float32 .npy [lines, D] out.

amber embed --checkpoint=DIR --input=FILE --output=FILE.npy

The input is plain, .gz, .bz2, .xz or .zst, or - for stdin. Vectors are made as in
training unless told otherwise; row n belongs to line n.
"""

from absl import flags

from amber_jax.storage import location

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir or checkpoint, or a Hugging Face folder"
)
_INPUT = flags.DEFINE_string("input", None, "one sentence a line; - is stdin")
_OUTPUT = flags.DEFINE_string("output", None, "the .npy file")
_LAYER = flags.DEFINE_integer("layer", None, "-1: the last; 0: embeddings")
_POOLING = flags.DEFINE_string("pooling", None, "mean, first for [CLS], or pooler")
_NORMALIZE = flags.DEFINE_bool(
    "normalize", None, "scale vectors to length 1; unset: as the model's folder says"
)
_PROMPT = flags.DEFINE_string(
    "prompt", None, "text before every sentence, or the name of a prompt of the model"
)
_DTYPE = flags.DEFINE_string(
    "dtype", None, "of activations, float32 or bfloat16; unset: as trained"
)
flags.mark_flags_as_required(["checkpoint", "input", "output"])


def main(_: list[str]) -> None:
    from amber_jax.commands.embed import embed_file

    embed_file(
        location(_CHECKPOINT.value),
        _INPUT.value,
        _OUTPUT.value,
        layer=_LAYER.value,
        pooling=_POOLING.value,
        normalize=_NORMALIZE.value,
        prompt=_PROMPT.value,
        dtype=_DTYPE.value,
        note=print,
    )
