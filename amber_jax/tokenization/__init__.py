"""Text to token ids: SentencePiece, mBERT's WordPiece, others as they are."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError
from amber_jax.files import make_folder, new_folder, read_object
from amber_jax.storage import location
from amber_jax.tokenization.library_file import LIBRARY_FILE
from amber_jax.tokenization.tokenizer import CONFIG_FILE, SpecialTokens, Tokenizer

_WANTED = "wanted a folder that amber train_tokenizer wrote"

__all__ = ["SpecialTokens", "Tokenizer", "load_tokenizer", "save_once"]


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Returns the tokenizer at `path`.

    Args:
        path: a folder that `Tokenizer.save` wrote, one in Hugging Face's format, a
            `*.model` file (SentencePiece) or a `*.txt` file (WordPiece).

    Raises:
        UserError: no tokenizer there, or its content is not what was saved.
    """
    path = location(path)
    if path.is_dir():
        return _load_folder(path)
    if path.suffix == ".model":
        from amber_jax.tokenization import sentencepiece

        return sentencepiece.load(path)
    if path.suffix == ".txt":
        from amber_jax.tokenization import wordpiece

        return wordpiece.load(path)
    raise UserError(
        f"{path}: no tokenizer there; wanted a folder of amber train_tokenizer, "
        "one in Hugging Face's format, a SentencePiece .model or a vocab.txt"
    )


def save_once(tokenizer: Tokenizer, directory: Path) -> None:
    """Saves into a new folder, whole or not at all; an equal one is left as it is.

    Raises:
        UserError: `directory` holds another tokenizer, or something else, or it
            cannot be written.
    """
    if directory.is_dir() and any(directory.iterdir()):
        _require_same(tokenizer, directory)
        return
    make_folder(directory.parent)
    with new_folder(directory) as folder:
        tokenizer.save(folder)


def _require_same(tokenizer: Tokenizer, directory: Path) -> None:
    fingerprint = load_tokenizer(directory).fingerprint
    if fingerprint != tokenizer.fingerprint:
        raise UserError(
            f"{directory}: holds another tokenizer (fingerprint {fingerprint[:12]}, "
            f"this one is {tokenizer.fingerprint[:12]}); give a new folder"
        )


def _load_folder(directory: Path) -> Tokenizer:
    from amber_jax.tokenization import huggingface, library, sentencepiece, wordpiece

    config = directory / CONFIG_FILE
    stored = read_object(config, _WANTED) if config.is_file() else {}
    if "kind" not in stored and any(
        (directory / f).is_file() for f in huggingface.FILES
    ):
        return huggingface.read_folder(directory)
    if not stored:
        read_object(config, _WANTED)  # says what is missing
    kind, fingerprint = stored.get("kind"), str(stored.get("fingerprint"))
    if kind == sentencepiece.KIND:
        tokenizer: Tokenizer = sentencepiece.load(directory / sentencepiece.MODEL_FILE)
    elif kind == wordpiece.KIND:
        tokenizer = wordpiece.load(directory / wordpiece.VOCAB_FILE)
    elif kind == library.KIND:
        special = SpecialTokens(**_roles(stored, config))
        tokenizer = library.load(directory / LIBRARY_FILE, special)
    else:
        raise UserError(
            f"{config}: kind is {kind!r}; wanted 'sentencepiece', 'wordpiece' or "
            "'library'"
        )
    if tokenizer.fingerprint != fingerprint:
        raise UserError(
            f"{directory}: fingerprint is {tokenizer.fingerprint[:12]}, its "
            f"{CONFIG_FILE} says {fingerprint[:12]}; the files were changed or mixed"
        )
    return tokenizer


def _roles(stored: Mapping[str, Any], path: Path) -> dict[str, int]:
    special = stored.get("special")
    names = {field.name for field in dataclasses.fields(SpecialTokens)}
    size = stored.get("vocab_size")
    if (
        not isinstance(special, dict)
        or special.keys() != names
        or not all(type(i) is int and 0 <= i < size for i in special.values())
    ):
        raise UserError(
            f"{path}: special is {special!r:.80}; wanted the ids of "
            f"{', '.join(sorted(names))}; the file was changed"
        )
    return special
