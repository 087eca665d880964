"""Whether a folder's tokenizer is of a kind of ours: mBERT's WordPiece, or an export's.

A vocabulary alone does not say how text is split. What a folder says of that, in
`tokenizer.json` or in the settings beside a `vocab.txt`, must be what mBERT does.

Source: `BertTokenizer` of huggingface/transformers, the format of
huggingface/tokenizers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from amber_jax.errors import UserError
from amber_jax.tokenization import wordpiece
from amber_jax.tokenization.json_files import read_optional
from amber_jax.tokenization.library_file import LIBRARY_FILE
from amber_jax.tokenization.roles import (
    MODEL_CONFIG,
    SPECIAL_MAP,
    entries_of,
    text_of,
)
from amber_jax.tokenization.tokenizer import CONFIG_FILE, SPECIAL_PIECES, Tokenizer

_ADDED = "added_tokens.json"

_Allowed = Mapping[str, tuple[Any, ...]]
# What is allowed of a field, the value that an absent one has first.
_SETTINGS: _Allowed = {
    "do_lower_case": (False,),
    "strip_accents": (False, None),
    "tokenize_chinese_chars": (True,),
    "do_basic_tokenize": (True,),
    "clean_text": (True,),
    "never_split": (None, []),
    "do_word_tokenize": (True,),
    "word_tokenizer_type": ("basic",),
    "do_subword_tokenize": (True,),
    "subword_tokenizer_type": ("wordpiece",),
    "wordpieces_prefix": (wordpiece.CONTINUATION,),
    "max_input_chars_per_word": (wordpiece.MAX_WORD_CHARACTERS,),
    "auto_map": (None,),  # code of its own
}
# Classes that do whatever tokenizer.json says.
_GENERAL_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend", None)
_WORDPIECE_CLASSES = ("BertTokenizer", "BertTokenizerFast", *_GENERAL_CLASSES)
_LIBRARY: Mapping[str, _Allowed] = {
    "normalizer": {
        "type": ("BertNormalizer",),
        "clean_text": (True,),
        "handle_chinese_chars": (True,),
        "strip_accents": (False, None),
        "lowercase": (False,),
    },
    "pre_tokenizer": {"type": ("BertPreTokenizer",)},
    "model": {
        "type": ("WordPiece",),
        "unk_token": ("[UNK]",),
        "continuing_subword_prefix": (wordpiece.CONTINUATION,),
        "max_input_chars_per_word": (wordpiece.MAX_WORD_CHARACTERS,),
    },
}
_SPECIAL_NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
_MORE_SPECIAL = ("additional_special_tokens", "extra_special_tokens")
_TEMPLATES = {
    "single": ["[CLS]", "A", "[SEP]"],
    "pair": ["[CLS]", "A", "[SEP]", "B", "[SEP]"],
}


class OtherKind(UserError):
    """The folder's tokenizer is of another kind."""


def refuse_other_kinds(folder: Path, tokenizer: Tokenizer) -> None:
    """Refuses a folder whose files say anything that `tokenizer` does not do.

    Args:
        folder: of a model in Hugging Face's or Google's format.
        tokenizer: as it was read from the vocabulary there.

    Raises:
        OtherKind: they do.
        UserError: its files do not belong together.
    """
    if (folder / LIBRARY_FILE).is_file():
        _check_vocabulary(folder / LIBRARY_FILE, tokenizer)
    fields = read_optional(folder / CONFIG_FILE)
    _check_fields(folder / CONFIG_FILE, fields, _SETTINGS)
    is_wordpiece = isinstance(tokenizer, wordpiece.WordPieceTokenizer)
    classes = _WORDPIECE_CLASSES if is_wordpiece else _GENERAL_CLASSES
    for name in (CONFIG_FILE, MODEL_CONFIG):
        content = read_optional(folder / name)
        _check_fields(folder / name, content, {"tokenizer_class": classes})
    _check_special_names(folder / CONFIG_FILE, fields)
    _check_special_names(folder / SPECIAL_MAP, read_optional(folder / SPECIAL_MAP))
    _check_added(folder / CONFIG_FILE, _decoded(fields), tokenizer)
    _check_added(folder / _ADDED, read_optional(folder / _ADDED), tokenizer)
    if (folder / LIBRARY_FILE).is_file():
        _check_library_file(folder / LIBRARY_FILE, tokenizer)


def says_cased(folder: Path) -> bool:
    """Returns whether the folder says if text is lower-cased."""
    normalizer = read_optional(folder / LIBRARY_FILE).get("normalizer")
    in_library = isinstance(normalizer, Mapping) and "lowercase" in normalizer
    return in_library or "do_lower_case" in read_optional(folder / CONFIG_FILE)


def _check_library_file(path: Path, tokenizer: Tokenizer) -> None:
    content = read_optional(path)
    if isinstance(tokenizer, wordpiece.WordPieceTokenizer):
        for part, allowed in _LIBRARY.items():
            fields = content.get(part)
            if not isinstance(fields, Mapping):
                _refuse(path, part, fields, allowed["type"][0])
            _check_fields(path, fields, allowed, within=f"{part}.")
        _check_post_processor(path, content.get("post_processor"))
    added = entries_of(content.get("added_tokens"))
    _check_added(path, {text_of(token): _number(token) for token in added}, tokenizer)


def _check_vocabulary(path: Path, tokenizer: Tokenizer) -> None:
    vocabulary = dict(_vocabulary(read_optional(path).get("model")))
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    if vocabulary != {piece: i for i, piece in enumerate(pieces)}:
        raise UserError(
            f"{path}: its vocabulary, of {len(vocabulary):,} entries, is not the one "
            f"of {len(pieces):,} beside it; use files that belong together"
        )


def _check_fields(
    path: Path, fields: Mapping[str, Any], allowed: _Allowed, *, within: str = ""
) -> None:
    for name, values in allowed.items():
        value = fields.get(name, values[0])
        if value not in values:
            _refuse(path, within + name, value, values[0])


def _refuse(path: Path, field: str, value: Any, wanted: Any) -> NoReturn:
    raise OtherKind(
        f"{path}: {field} is {value!r:.80}; only cased tokenizers that split text as "
        f"mBERT's does, as an export of ours, or as a {LIBRARY_FILE} beside it says, "
        f"can be converted ({field} {wanted!r})"
    )


def _check_special_names(path: Path, fields: Mapping[str, Any]) -> None:
    for name, piece in zip(_SPECIAL_NAMES, SPECIAL_PIECES, strict=True):
        if text_of(fields.get(name) or piece) != piece:
            _refuse(path, name, fields[name], piece)
    for name in _MORE_SPECIAL:
        tokens = [text_of(token) for token in entries_of(fields.get(name))]
        if not set(tokens) <= set(SPECIAL_PIECES):
            _refuse(path, name, tokens, [])


def _check_added(path: Path, added: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    """Refuses tokens that text is searched for before it is split into words."""
    known = dict(zip(SPECIAL_PIECES, tokenizer.special.ids(), strict=True))
    for text, number in added.items():
        # In tokenizer_config.json the ids are keys, and so text.
        if text not in known or str(known[text]) != str(number):
            raise OtherKind(
                f"{path}: adds the token {text!r:.80} with id {number!r:.20} to the "
                "vocabulary; only tokenizers whose added tokens are BERT's five "
                f"special ones, {' '.join(SPECIAL_PIECES)}, or stand in a "
                f"{LIBRARY_FILE}, can be converted"
            )


def _decoded(fields: Mapping[str, Any]) -> dict[str, Any]:
    decoder = fields.get("added_tokens_decoder")
    if not isinstance(decoder, Mapping):
        return {}
    return {text_of(token): number for number, token in decoder.items()}


def _check_post_processor(path: Path, content: Any) -> None:
    if content is None:  # the class adds [CLS] and [SEP]
        return
    kind = content.get("type") if isinstance(content, Mapping) else content
    if kind == "BertProcessing":
        cls, sep = (entries_of(content.get(name))[:1] for name in ("cls", "sep"))
        templates = {"single": [*cls, "A", *sep]}
    elif kind == "TemplateProcessing":
        templates = {name: _template(content.get(name)) for name in _TEMPLATES}
    else:
        _refuse(path, "post_processor", kind, "TemplateProcessing")
    for name, tokens in templates.items():
        if tokens != _TEMPLATES[name]:
            _refuse(path, f"post_processor.{name}", tokens, _TEMPLATES[name])


def _template(entries: Any) -> list[Any]:
    names = []
    for entry in entries_of(entries):
        fields = entry.values() if isinstance(entry, Mapping) else ()
        names += [field.get("id") for field in fields if isinstance(field, Mapping)]
    return names


def _vocabulary(model: Any) -> Iterator[tuple[str, Any]]:
    """Yields (piece, id) of a WordPiece's or a unigram's model in tokenizer.json."""
    entries = model.get("vocab") if isinstance(model, Mapping) else None
    if isinstance(entries, Mapping):
        yield from entries.items()
    elif isinstance(entries, list):
        for number, entry in enumerate(entries):
            yield str(entry[0] if isinstance(entry, list) and entry else None), number


def _number(token: Any) -> Any:
    return token.get("id") if isinstance(token, Mapping) else None
