"""A SentencePiece unigram model as a tokenizer of Hugging Face's `tokenizers`."""

import functools
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from amber_jax.errors import UserError
from amber_jax.tokenization.sentencepiece import WORD_START

_UNIGRAM = 1  # TrainerSpec.ModelType
_PLAIN_PIECES = {1, 2, 3, 6}  # SentencePiece.Type: normal, unknown, control, byte
_HANGUL = range(0xAC00, 0xD7A4)
_POLYTONIC_GREEK = range(0x1F00, 0x2000)
_WIDE = 6  # bytes


def library_unigram(model: bytes) -> Tokenizer:
    """Returns a tokenizer with the same ids, without special tokens around them.

    The two libraries differ where pieces can be exchanged at equal cost ("999" as 99 9
    or 9 99: SentencePiece lets rounding decide), in polytonic Greek and Korean letters
    that are written decomposed, and in marks on compatibility characters.

    Args:
        model: the bytes of a `.model` file.

    Raises:
        UserError: it is not one that launch/train_tokenizer.py makes.
    """
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    _require_ours(proto)
    library = Tokenizer(
        models.Unigram(
            [(piece.piece, piece.score) for piece in proto.pieces],
            unk_id=proto.trainer_spec.unk_id,
            byte_fallback=proto.trainer_spec.byte_fallback,
        )
    )
    library.normalizer = _normalizer(proto, model)
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(WORD_START, prepend_scheme="always"),
            # Or the text "<0x41>" would be the byte piece of that name.
            pre_tokenizers.Split(
                Regex("<(?=0x[0-9A-F]{2}>)"), behavior="merged_with_previous"
            ),
        ]
    )
    library.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(WORD_START)]
    )
    return library


def _require_ours(proto: sentencepiece_model_pb2.ModelProto) -> None:
    normal, trainer = proto.normalizer_spec, proto.trainer_spec
    as_expected = (
        trainer.model_type == _UNIGRAM,
        normal.add_dummy_prefix,
        normal.remove_extra_whitespaces,
        normal.escape_whitespaces,
        not trainer.treat_whitespace_as_suffix,
        {piece.type for piece in proto.pieces} <= _PLAIN_PIECES,
    )
    if not all(as_expected):
        raise UserError(
            "the SentencePiece model is not a plain unigram one, as "
            "launch/train_tokenizer.py makes them; only those have a tokenizer.json"
        )


def _normalizer(
    proto: sentencepiece_model_pb2.ModelProto, model: bytes
) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    charsmap = proto.normalizer_spec.precompiled_charsmap
    if charsmap:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        steps += [
            normalizers.Replace(apart, together)
            for apart, together in _compositions()
            if processor.normalize(apart) == WORD_START + together
        ]
        steps.append(normalizers.Precompiled(charsmap))
    steps.append(normalizers.Replace(Regex("^ +| +$"), ""))
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    return normalizers.Sequence(steps)


@functools.cache
def _compositions() -> list[tuple[str, str]]:
    """Returns (decomposed, composed) of letters that `Precompiled` would spoil.

    It takes a grapheme of 6 bytes apart, and of a base with two marks it loses one.
    Rare ones, whose rules would slow every text down, are left out.
    """
    found = []
    for code in range(0x110000):
        if code in _HANGUL or code in _POLYTONIC_GREEK:
            continue
        apart = unicodedata.normalize("NFD", chr(code))
        wide = len(apart) > 1 and len(apart.encode("utf-8", "replace")) >= _WIDE
        if (wide or len(apart) > 2) and unicodedata.normalize("NFC", apart) == chr(
            code
        ):
            found.append((apart, chr(code)))
    return sorted(found, key=lambda rule: -len(rule[0]))  # the longest first
