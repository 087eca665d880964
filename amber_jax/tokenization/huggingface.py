"""The tokenizer of a Hugging Face or Google folder: one of our kinds, or the library's.

mBERT's WordPiece and exports of ours are read as such. Any other tokenizer.json is kept
as it is, and a SentencePiece model that only XLM-R's program reads becomes one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError
from amber_jax.tokenization import library_file, sentencepiece, unigram, wordpiece
from amber_jax.tokenization.json_files import read_optional
from amber_jax.tokenization.library import JsonTokenizer
from amber_jax.tokenization.library_file import INTACT, LIBRARY_FILE, LibraryFile
from amber_jax.tokenization.own_kinds import (
    OtherKind,
    refuse_other_kinds,
    says_cased,
)
from amber_jax.tokenization.roles import (
    MODEL_CONFIG,
    entries_of,
    special_tokens,
    text_of,
)
from amber_jax.tokenization.tokenizer import CONFIG_FILE, SPECIAL_PIECES, Tokenizer

FAIRSEQ_FILE = "sentencepiece.bpe.model"
FILES = (
    *(sentencepiece.MODEL_FILE, wordpiece.VOCAB_FILE),
    *(LIBRARY_FILE, FAIRSEQ_FILE),
)
"""Any of which holds a vocabulary."""

# Classes that follow tokenizer.json; others have programs of their own.
_CLASSES = (
    *("PreTrainedTokenizerFast", "TokenizersBackend", "BertTokenizer", None),
    *("BertTokenizerFast", "XLMRobertaTokenizer", "XLMRobertaTokenizerFast"),
    *("RobertaTokenizer", "RobertaTokenizerFast"),
)
# Settings of programs that read no tokenizer.json, and what they must be.
_PROGRAMS = {
    "auto_map": None,
    "never_split": None,
    "do_word_tokenize": True,
    "word_tokenizer_type": "basic",
    "do_subword_tokenize": True,
    "subword_tokenizer_type": "wordpiece",
}
# Settings that say again what the normalizer does.
_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
    "clean_text": "clean_text",
}


def read_folder(folder: Path) -> Tokenizer:
    """Returns the tokenizer of a folder in Hugging Face's or Google's format.

    Raises:
        UserError: there is none, its files contradict each other, or it splits text by
            a program of its own.
    """
    own_model, json_file, fairseq_file = (
        folder / name for name in (sentencepiece.MODEL_FILE, LIBRARY_FILE, FAIRSEQ_FILE)
    )
    if own_model.is_file():
        own = sentencepiece.load(own_model)
        refuse_other_kinds(folder, own)
        return own
    file = (
        library_file.parsed(library_file.read_bytes(json_file), str(json_file))
        if json_file.is_file()
        else None
    )
    if bert := _berts_pieces(folder / wordpiece.VOCAB_FILE, file):
        try:
            refuse_other_kinds(folder, bert)
        except OtherKind:
            if file is None:
                raise
        else:
            # A vocab.txt alone does not say whether text is to be lower-cased.
            if not says_cased(folder):
                _require_capitals(bert, folder)
            return bert
    if file is None and fairseq_file.is_file():
        model = library_file.read_bytes(fairseq_file)
        content = unigram.fairseq_library_file(model, origin=str(fairseq_file))
        file = library_file.parsed(content, str(fairseq_file))
    if file is not None:
        _refuse_own_programs(folder, file.fields)
        _refuse_other_additions(folder, file.pieces)
        special = special_tokens(folder, file.fields, file.pieces)
        return JsonTokenizer(file, special)
    raise UserError(f"{folder}: has no tokenizer; wanted one of {', '.join(FILES)}")


def _berts_pieces(
    vocabulary: Path, file: LibraryFile | None
) -> wordpiece.WordPieceTokenizer | None:
    """Returns the WordPiece vocabulary, unless there is none with BERT's pieces."""
    if vocabulary.is_file():
        with vocabulary.open(encoding="utf-8", errors="replace") as lines:
            names = {line.removesuffix("\n") for line in lines}
        is_berts = {*SPECIAL_PIECES} <= names or file is None
        return wordpiece.load(vocabulary) if is_berts else None
    if file is None or file.fields["model"].get("type") != "WordPiece":
        return None
    has_more = len(file.pieces) > len(file.fields["model"]["vocab"])
    if has_more or not {*SPECIAL_PIECES} <= {*file.pieces}:
        return None
    return wordpiece.WordPieceTokenizer(file.pieces, origin=file.origin)


def _refuse_own_programs(folder: Path, fields: Mapping[str, Any]) -> None:
    """Refuses a folder whose class or settings say what tokenizer.json does not."""
    path = folder / CONFIG_FILE
    declared = read_optional(path)
    for place, content in (
        (path, declared),
        (folder / MODEL_CONFIG, read_optional(folder / MODEL_CONFIG)),
    ):
        if content.get("tokenizer_class") not in _CLASSES:
            _refuse(place, "tokenizer_class", content["tokenizer_class"])
    for field, wanted in _PROGRAMS.items():
        if declared.get(field, wanted) not in (wanted, []):
            _refuse(path, field, declared[field])
    of_library = folder / LIBRARY_FILE
    splits = _object(fields, "pre_tokenizer", of_library).get("type")
    if declared.get("do_basic_tokenize") is False and splits == "BertPreTokenizer":
        _refuse(path, "do_basic_tokenize", False)
    normalizer = _object(fields, "normalizer", of_library)
    for field, name in _NORMALIZER.items():
        said = declared.get(field)
        is_said = normalizer.get("type") == "BertNormalizer" and said is not None
        if is_said and bool(normalizer.get(name)) != bool(said):
            _refuse(path, field, said)


def _refuse(path: Path, field: str, value: Any) -> None:
    raise UserError(
        f"{path}: {field} is {value!r:.80}, which {LIBRARY_FILE} does not do; only "
        "tokenizers that are wholly in that file can be converted"
    )


def _refuse_other_additions(folder: Path, pieces: list[str]) -> None:
    """Refuses tokens that the settings add and tokenizer.json does not have."""
    ids = {piece: number for number, piece in enumerate(pieces)}
    path = folder / CONFIG_FILE
    declared = read_optional(path)
    decoder = _object(declared, "added_tokens_decoder", path)
    added = {text_of(token): number for number, token in decoder.items()}
    added |= read_optional(folder / "added_tokens.json")
    more = {
        text_of(token): ids.get(text_of(token))
        for name in ("additional_special_tokens", "extra_special_tokens")
        for token in entries_of(declared.get(name))
    }
    for text, number in {**more, **added}.items():
        if text not in ids or str(ids[text]) != str(number):
            raise UserError(
                f"{path}: adds the token {text!r:.80} with id "
                f"{number!r:.20}, which {LIBRARY_FILE} does not have; use files that "
                "belong together"
            )


def _object(fields: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    """Returns a field that is an object, or {} if there is none."""
    value = fields.get(name)
    if not isinstance(value, Mapping | None):
        raise UserError(f"{path}: {name} is {value!r:.80}, no object; {INTACT}")
    return value or {}


def _require_capitals(tokenizer: Tokenizer, folder: Path) -> None:
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    words = "".join(piece for piece in pieces if piece not in SPECIAL_PIECES)
    if words == words.lower() and words != words.upper():
        raise UserError(
            f"{folder}: its vocabulary has no capital letter, so it is of an uncased "
            "model; only cased vocabularies, as mBERT's, can be converted"
        )
