"""Hugging Face's files of a tokenizer, of both kinds, out and in."""

from pathlib import Path

from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import processors

from amber_jax.convert.json_files import read_object
from amber_jax.convert.tokenizer_kind import (
    LIBRARY_FILE,
    refuse_other_kinds,
    says_cased,
)
from amber_jax.convert.unigram import library_unigram
from amber_jax.errors import UserError
from amber_jax.files import write_json, write_text
from amber_jax.tokenization import Tokenizer, load_tokenizer, sentencepiece, wordpiece
from amber_jax.tokenization.tokenizer import CONFIG_FILE, SPECIAL_PIECES

_VOCABULARIES = (sentencepiece.MODEL_FILE, wordpiece.VOCAB_FILE)


def write(folder: Path, tokenizer: Tokenizer, *, max_positions: int) -> None:
    """Writes the vocabulary, tokenizer.json and tokenizer_config.json into a folder.

    `AutoTokenizer` gives `[CLS] x [SEP]` and `[CLS] x [SEP] y [SEP]` with segment ids.
    Unlike here, "[MASK]" in a text is the special token there, as its users expect.
    """
    write_vocabulary(folder, tokenizer)
    if isinstance(tokenizer, wordpiece.WordPieceTokenizer):
        pieces = tokenizer.pieces(range(tokenizer.vocab_size))
        library = wordpiece.library_tokenizer({p: i for i, p in enumerate(pieces)})
        kind = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": False,
            "strip_accents": False,
            "tokenize_chinese_chars": True,
        }
    else:
        library = library_unigram((folder / sentencepiece.MODEL_FILE).read_bytes())
        kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
    _add_special_tokens(library, tokenizer)
    write_text(folder / LIBRARY_FILE, library.to_str(pretty=True))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    write_json(
        folder / CONFIG_FILE,
        {
            **kind,
            **dict(zip(names, SPECIAL_PIECES, strict=True)),
            "model_max_length": max_positions,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
        },
    )


def write_vocabulary(folder: Path, tokenizer: Tokenizer) -> None:
    """Writes vocab.txt or sentencepiece.model alone."""
    tokenizer.save(folder)
    (folder / CONFIG_FILE).unlink()  # ours, of a folder that holds nothing else


def read(folder: Path, *, vocab_size: int) -> Tokenizer:
    """Returns the tokenizer of a folder, from its vocabulary or its tokenizer.json.

    Args:
        folder: of a model in Hugging Face's or Google's format.
        vocab_size: the model's, which may be larger.

    Raises:
        UserError: there is none, it changes or splits text in another way, or has too
            many ids.
    """
    for name in _VOCABULARIES:
        if (folder / name).is_file():
            tokenizer = load_tokenizer(folder / name)
            break
    else:
        tokenizer = _wordpiece_of_library_file(folder / LIBRARY_FILE)
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} entries, the model "
            f"{vocab_size}; use files that belong together"
        )
    refuse_other_kinds(folder, tokenizer)
    # A vocab.txt alone does not say whether text is to be lower-cased.
    if isinstance(tokenizer, wordpiece.WordPieceTokenizer) and not says_cased(folder):
        _require_capitals(tokenizer, folder)
    return tokenizer


def _add_special_tokens(library: LibraryTokenizer, tokenizer: Tokenizer) -> None:
    library.add_special_tokens(list(SPECIAL_PIECES))  # they keep their ids
    library.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[
            ("[CLS]", tokenizer.special.cls),
            ("[SEP]", tokenizer.special.sep),
        ],
    )


def _require_capitals(tokenizer: Tokenizer, folder: Path) -> None:
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    words = "".join(piece for piece in pieces if piece not in SPECIAL_PIECES)
    if words == words.lower() and words != words.upper():
        raise UserError(
            f"{folder}: its vocabulary has no capital letter, so it is of an uncased "
            "model; only cased vocabularies, as mBERT's, can be converted"
        )


def _wordpiece_of_library_file(path: Path) -> wordpiece.WordPieceTokenizer:
    if not path.is_file():
        raise UserError(
            f"{path.parent}: has no tokenizer; wanted {', '.join(_VOCABULARIES)} or "
            f"{path.name}"
        )
    model = read_object(path).get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict) or model.get("type") != "WordPiece":
        raise UserError(
            f"{path}: holds no WordPiece vocabulary, and there is no "
            f"{' or '.join(_VOCABULARIES)} beside it; give one of them"
        )
    pieces = sorted(vocabulary, key=lambda piece: str(vocabulary[piece]).zfill(12))
    if [vocabulary[piece] for piece in pieces] != list(range(len(pieces))):
        raise UserError(
            f"{path}: the ids of its vocabulary are not 0, 1, 2 and so on; use an "
            "intact copy"
        )
    return wordpiece.WordPieceTokenizer(pieces, origin=str(path))
