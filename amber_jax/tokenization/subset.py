"""A tokenizer.json of fewer pieces, which splits text of those pieces as before."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from amber_jax.errors import UserError
from amber_jax.tokenization.library_file import LibraryFile, added_tokens, parsed

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def indispensable(file: LibraryFile) -> set[int]:
    """Returns the ids that any subset has besides its special pieces.

    Added tokens, single bytes, and a piece of the lowest score, from which the score of
    unknown characters is derived.

    Raises:
        UserError: the tokenizer is no WordPiece or unigram one.
    """
    model = file.fields["model"]
    vocabulary = model["vocab"]
    is_wordpiece = "max_input_chars_per_word" in model
    if not (is_wordpiece or isinstance(vocabulary, list)):
        raise UserError(
            f"{file.origin}: its model is {model.get('type')!r}; only the vocabularies "
            "of WordPiece and Unigram can be cut"
        )
    kept = {token["id"] for token in added_tokens(file.fields)}
    if isinstance(vocabulary, list):
        kept.add(min(range(len(vocabulary)), key=lambda i: vocabulary[i][1]))
    if model.get("byte_fallback"):
        bytes_ = {*_BYTES}
        kept |= {i for i, piece in enumerate(file.pieces) if piece in bytes_}
    return kept


def library_subset(file: LibraryFile, ids: Sequence[int]) -> LibraryFile:
    """Returns the tokenizer.json of the pieces `ids`, ascending; they get ids 0, 1, ...

    All that `indispensable` returns must be among them.

    Raises:
        UserError: its post-processor puts another piece around texts.
    """
    fields = file.fields
    new = {old: number for number, old in enumerate(ids)}
    model = {**fields["model"]}
    if isinstance(model["vocab"], list):
        model["vocab"] = [model["vocab"][i] for i in ids if i < len(model["vocab"])]
    else:
        vocabulary = model["vocab"].items()
        model["vocab"] = {piece: new[i] for piece, i in vocabulary if i in new}
    if model.get("unk_id") is not None:
        model["unk_id"] = new[model["unk_id"]]
    added = added_tokens(fields)
    changed = {
        "model": model,
        "added_tokens": [{**token, "id": new[token["id"]]} for token in added],
        "post_processor": _framed_by(file, new),
        "padding": None,  # which names an id as well, and is the caller's choice
    }
    content = json.dumps({**fields, **changed}, ensure_ascii=False)
    return parsed(content.encode("utf-8"), file.origin)


def _framed_by(file: LibraryFile, new: Mapping[int, int]) -> Any:
    try:
        return _renumbered(file.fields.get("post_processor"), new)
    except KeyError as error:
        raise UserError(
            f"{file.origin}: its post_processor puts the piece of id {error} around "
            "texts, which has no role and is not kept; such a vocabulary cannot be cut"
        ) from error


def _renumbered(processor: Any, new: Mapping[int, int]) -> Any:
    """Returns a post-processor with the new ids of its special tokens."""
    if not isinstance(processor, Mapping):
        return processor
    steps = processor.get("processors")
    if steps is not None:
        return {**processor, "processors": [_renumbered(step, new) for step in steps]}
    changed = dict(processor)
    for role in ("cls", "sep"):
        if role in processor:
            name, number = processor[role]
            changed[role] = [name, new[number]]
    if "special_tokens" in processor:
        changed["special_tokens"] = {
            name: {**token, "ids": [new[i] for i in token["ids"]]}
            for name, token in processor["special_tokens"].items()
        }
    return changed
