"""Hugging Face's files of a tokenizer, of every kind, out and in."""

from pathlib import Path

from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import processors

from amber_jax.errors import UserError
from amber_jax.files import write_json, write_text
from amber_jax.tokenization import Tokenizer, sentencepiece, wordpiece
from amber_jax.tokenization.huggingface import read_folder
from amber_jax.tokenization.library import JsonTokenizer
from amber_jax.tokenization.library_file import LIBRARY_FILE
from amber_jax.tokenization.tokenizer import CONFIG_FILE, SPECIAL_PIECES
from amber_jax.tokenization.unigram import library_unigram

_NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def write(folder: Path, tokenizer: Tokenizer, *, max_positions: int) -> None:
    """Writes the vocabulary, tokenizer.json and tokenizer_config.json into a folder.

    `AutoTokenizer` gives `[CLS] x [SEP]` and `[CLS] x [SEP] y [SEP]` with segment ids.
    Unlike here, "[MASK]" in a text is the special token there, as its users expect.
    """
    write_vocabulary(folder, tokenizer)
    if isinstance(tokenizer, JsonTokenizer):
        kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
    else:
        library, kind = _library_of(tokenizer, folder)
        _add_special_tokens(library, tokenizer)
        write_text(folder / LIBRARY_FILE, library.to_str(pretty=True))
        inputs = ["input_ids", "token_type_ids", "attention_mask"]
        kind["model_input_names"] = inputs
    names = tokenizer.pieces(tokenizer.special.ids())
    write_json(
        folder / CONFIG_FILE,
        {
            **kind,
            **dict(zip(_NAMES, names, strict=True)),
            "model_max_length": max_positions,
            "clean_up_tokenization_spaces": False,
        },
    )


def write_vocabulary(folder: Path, tokenizer: Tokenizer) -> None:
    """Writes vocab.txt, sentencepiece.model or the tokenizer.json that came, alone."""
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
    tokenizer = read_folder(folder)
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} entries, the model "
            f"{vocab_size}; use files that belong together"
        )
    return tokenizer


def _library_of(
    tokenizer: Tokenizer, folder: Path
) -> tuple[LibraryTokenizer, dict[str, object]]:
    """Returns the library's form of one of our kinds, and what settings call it."""
    if isinstance(tokenizer, wordpiece.WordPieceTokenizer):
        pieces = tokenizer.pieces(range(tokenizer.vocab_size))
        vocabulary = {piece: number for number, piece in enumerate(pieces)}
        return wordpiece.library_tokenizer(vocabulary), {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": False,
            "strip_accents": False,
            "tokenize_chinese_chars": True,
        }
    model = (folder / sentencepiece.MODEL_FILE).read_bytes()
    return library_unigram(model), {"tokenizer_class": "PreTrainedTokenizerFast"}


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
