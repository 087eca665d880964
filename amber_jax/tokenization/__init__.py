"""Text to token ids: SentencePiece and mBERT's WordPiece behind one protocol."""

from pathlib import Path

from amber_jax.errors import UserError
from amber_jax.files import make_folder, new_folder, read_object
from amber_jax.tokenization.tokenizer import CONFIG_FILE, SpecialTokens, Tokenizer

__all__ = ["SpecialTokens", "Tokenizer", "load_tokenizer", "save_once"]


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Returns the tokenizer at `path`.

    Args:
        path: a folder that `Tokenizer.save` wrote, a `*.model` file
            (SentencePiece) or a `*.txt` file (WordPiece).

    Raises:
        UserError: no tokenizer there, or its content is not what was saved.
    """
    path = Path(path)
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
        "a SentencePiece .model or a vocab.txt"
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
    found = load_tokenizer(directory).fingerprint
    if found != tokenizer.fingerprint:
        raise UserError(
            f"{directory}: holds another tokenizer (fingerprint {found[:12]}, "
            f"this one is {tokenizer.fingerprint[:12]}); give a new folder"
        )


def _load_folder(directory: Path) -> Tokenizer:
    from amber_jax.tokenization import sentencepiece, wordpiece

    kind, fingerprint = _read_config(directory / CONFIG_FILE)
    if kind == sentencepiece.KIND:
        tokenizer = sentencepiece.load(directory / sentencepiece.MODEL_FILE)
    else:
        tokenizer = wordpiece.load(directory / wordpiece.VOCAB_FILE)
    if tokenizer.fingerprint != fingerprint:
        raise UserError(
            f"{directory}: fingerprint is {tokenizer.fingerprint[:12]}, its "
            f"{CONFIG_FILE} says {fingerprint[:12]}; the files were changed or mixed"
        )
    return tokenizer


def _read_config(path: Path) -> tuple[str, str]:
    stored = read_object(path, "wanted a folder that amber train_tokenizer wrote")
    kind, fingerprint = stored.get("kind"), stored.get("fingerprint")
    if kind not in ("sentencepiece", "wordpiece"):
        raise UserError(
            f"{path}: kind is {kind!r}; wanted 'sentencepiece' or 'wordpiece'"
        )
    return kind, str(fingerprint)
