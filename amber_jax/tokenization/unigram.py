"""A SentencePiece unigram model as a tokenizer of Hugging Face's `tokenizers`."""

import functools
import itertools
import sys
import unicodedata
from collections.abc import Iterable, Sequence

import sentencepiece
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from amber_jax.errors import UserError
from amber_jax.tokenization.sentencepiece import WORD_START

_UNIGRAM = 1  # TrainerSpec.ModelType
_PLAIN_PIECES = {1, 2, 3, 6}  # SentencePiece.Type: normal, unknown, control, byte
_SEPARATOR = "\x01"
_HANGUL = range(0xAC00, 0xD7A4)
_POLYTONIC_GREEK = range(0x1F00, 0x2000)
_WIDE = 6  # bytes
_HALFWIDTH_KANA = [chr(code) for code in range(0xFF66, 0xFF9E)]
_HALFWIDTH_MARKS = "\uff9e\uff9f"  # voiced, half-voiced


def library_unigram(model: bytes) -> Tokenizer:
    """Returns a tokenizer with the same ids, without special tokens around them.

    The two libraries differ where pieces can be exchanged at equal cost ("999" as 99 9
    or 9 99: SentencePiece lets rounding decide), and in what is composed of polytonic
    Greek and Korean letters that are written decomposed and of marks on compatibility
    characters. No letter or mark is lost.

    Args:
        model: the bytes of a `.model` file.

    Raises:
        UserError: it is not one that amber train_tokenizer makes.
    """
    proto = _plain_unigram(model, "the SentencePiece model")
    return _tokenizer(proto, model, _scored(proto.pieces), proto.trainer_spec.unk_id)


def fairseq_library_file(model: bytes, *, origin: str) -> bytes:
    """Returns the tokenizer.json of a model that fairseq trained XLM-R's kind with.

    Its ids are `<s> <pad> </s> <unk>`, then the model's pieces in their order, then
    `<mask>`; two separators stand between the sides of a pair.

    Args:
        model: the bytes of a sentencepiece.bpe.model.
        origin: names it in errors.

    Raises:
        UserError: it is no plain unigram model that begins with `<unk> <s> </s>`.

    Source: `XLMRobertaTokenizer` of huggingface/transformers.
    """
    proto = _plain_unigram(model, origin)
    first = [piece.piece for piece in proto.pieces[:3]]
    if first != ["<unk>", "<s>", "</s>"]:
        raise UserError(
            f"{origin}: its first pieces are {first}; wanted <unk> <s> </s>, as in "
            "XLM-R's SentencePiece model"
        )
    names = ["<s>", "<pad>", "</s>", "<unk>"]
    plain = [*((name, 0.0) for name in names), *_scored(proto.pieces[3:])]
    library = _tokenizer(proto, model, [*plain, ("<mask>", 0.0)], names.index("<unk>"))
    library.add_special_tokens([*names, "<mask>"])
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, names.index(name)) for name in ("<s>", "</s>")],
    )
    return library.to_str().encode("utf-8")


def _scored(
    pieces: Iterable[sentencepiece_model_pb2.ModelProto.SentencePiece],
) -> list[tuple[str, float]]:
    return [(piece.piece, piece.score) for piece in pieces]


def _tokenizer(
    proto: sentencepiece_model_pb2.ModelProto,
    model: bytes,
    vocabulary: Sequence[tuple[str, float]],
    unk_id: int,
) -> Tokenizer:
    """Returns the tokenizer of a model's bytes with the vocabulary given."""
    fallback = proto.trainer_spec.byte_fallback
    library = Tokenizer(
        models.Unigram(list(vocabulary), unk_id=unk_id, byte_fallback=fallback)
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


def _plain_unigram(model: bytes, origin: str) -> sentencepiece_model_pb2.ModelProto:
    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError as error:
        raise UserError(f"{origin}: is no SentencePiece model ({error})") from error
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
            f"{origin} is not a plain unigram one, as amber train_tokenizer makes "
            "them; only those have a tokenizer.json"
        )
    return proto


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
        # `Precompiled` reads a grapheme under 6 bytes by its first match alone and
        # drops the rest of it: a control character makes two graphemes of one.
        changed = _character_class(_changed_characters(processor))
        after = rf"(?<=\p{{M}}|[{changed}])" if changed else r"(?<=\p{M})"
        steps.append(normalizers.Replace(Regex(after + r"(?=\p{M})"), _SEPARATOR))
        steps.append(normalizers.Precompiled(charsmap))
        steps.append(normalizers.Replace(_SEPARATOR, ""))
    steps.append(normalizers.Replace(Regex("^ +| +$"), ""))
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    return normalizers.Sequence(steps)


def _changed_characters(processor: sentencepiece.SentencePieceProcessor) -> list[int]:
    """Returns the code points that the model's normalization changes by themselves."""
    codes = _changeable_characters()
    normal = processor.normalize([f"a{chr(code)}a" for code in codes])
    return [
        code
        for code, text in zip(codes, normal, strict=True)
        if text != f"{WORD_START}a{chr(code)}a"
    ]


@functools.cache
def _changeable_characters() -> list[int]:
    """Returns the code points that a normalization may change: none of most letters."""
    characters = map(chr, range(sys.maxunicode + 1))
    return [
        ord(character)
        for character in characters
        if unicodedata.category(character)[0] in "PSZ"
        or unicodedata.normalize("NFKC", character.casefold()) != character
    ]


def _character_class(codes: Iterable[int]) -> str:
    """Returns ascending code points as the ranges within a regex's brackets."""
    runs = itertools.groupby(enumerate(codes), lambda entry: entry[1] - entry[0])
    ranges = [[code for _, code in run] for _, run in runs]
    return "".join(rf"\x{{{run[0]:X}}}-\x{{{run[-1]:X}}}" for run in ranges)


@functools.cache
def _compositions() -> list[tuple[str, str]]:
    """Returns (decomposed, composed) of letters that `Precompiled` would leave apart.

    It takes a grapheme of 6 bytes apart, and of a base with two marks it composes one.
    Rare ones, whose rules would slow every text down, are left out.
    """
    rules = []
    for code in range(sys.maxunicode + 1):
        if code in _HANGUL or code in _POLYTONIC_GREEK:
            continue
        apart = unicodedata.normalize("NFD", chr(code))
        wide = len(apart) > 1 and len(apart.encode("utf-8", "replace")) >= _WIDE
        if (wide or len(apart) > 2) and unicodedata.normalize("NFC", apart) == chr(
            code
        ):
            rules.append((apart, chr(code)))
    for base, mark in itertools.product(_HALFWIDTH_KANA, _HALFWIDTH_MARKS):
        together = unicodedata.normalize("NFKC", base + mark)
        if len(together) == 1:
            rules.append((base + mark, together))
    return sorted(rules, key=lambda rule: -len(rule[0]))  # the longest first
