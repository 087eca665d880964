"""Takes a model from one format to another.

amber convert --from=hf:DIR --to=amber:DIR
amber convert --from=amber:DIR --to=sentence-transformers:DIR \
    --results=DIR/results.json --license=apache-2.0

amber convert --from=hf:DIR --to=amber:DIR --keep_pieces_of=CORPUS

Formats: amber (a run's workdir or a checkpoint), hf (Hugging Face's BERT), tf1
(Google's BERT) and sentence-transformers. Every parameter is accounted for, or nothing
is written.
"""

from absl import flags

from amber_jax.storage import location

_FROM = flags.DEFINE_string("from", None, "FORMAT:PATH of the model")
_TO = flags.DEFINE_string("to", None, "FORMAT:PATH of a folder that is not there yet")
_LAYER = flags.DEFINE_integer("layer", -1, "export so many layers; -1: all")
_KEEP = flags.DEFINE_string(
    "keep_pieces_of", None, "corpus, of the model's tokenizer, whose pieces are kept"
)
_MIN_COUNT = flags.DEFINE_integer(
    "min_piece_count", 1, "of a piece in that corpus; rarer ones go", lower_bound=1
)
_RESULTS = flags.DEFINE_multi_string("results", [], "results.json for the card")
_LICENSE = flags.DEFINE_string("license", "", "for the card, as in apache-2.0")
_SHARD = flags.DEFINE_integer(
    "max_shard_bytes", 5 * 10**9, "larger weights are split", lower_bound=1
)
flags.mark_flags_as_required(["from", "to"])


def main(_: list[str]) -> None:
    from amber_jax.commands import conversion

    conversion.convert(
        conversion.parse_place(_FROM.value, "--from"),
        conversion.parse_place(_TO.value, "--to"),
        conversion.ExportOptions(
            layer=_LAYER.value,
            keep_pieces_of=location(_KEEP.value) if _KEEP.value else None,
            min_piece_count=_MIN_COUNT.value,
            max_shard_bytes=_SHARD.value,
            results=tuple(map(location, _RESULTS.value)),
            license=_LICENSE.value,
        ),
    )
