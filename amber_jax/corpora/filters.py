"""Why a line or a pair is left out; every reason is one word that gets counted."""

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from amber_jax.corpora.text import LINE_CAP_BYTES, clean_line, read_lines
from amber_jax.storage import location

HeldOut = frozenset[int]
# A cell's text if it can be used, and why not: the text of a cell that is left out for
# its language alone stays, to see whether it is the other side's.
Cleaned = tuple[str | None, str | None]

EVALUATION_REASONS = ("evaluation_sentence", "evaluation_overlap")
_CONLLU_TEXT = "# text"


def is_header(line: Mapping[str, Cleaned]) -> bool:
    """Returns whether every cell of a line is the code of its own language."""
    return all((text or "").lower() == code.lower() for code, (text, _) in line.items())


def pair_text_reason(src: Cleaned, tgt: Cleaned) -> str | None:
    """Returns why two screened sides make no pair, or None."""
    reason = src[1] or tgt[1]
    for of_evaluation in EVALUATION_REASONS:
        if of_evaluation in (src[1], tgt[1]):
            return of_evaluation
    if reason:
        return "empty_side" if reason == "empty" else reason
    return "identical_sides" if src[0] == tgt[0] else None


def pair_token_reason(
    src: list[int],
    tgt: list[int],
    *,
    row_length: int,
    max_side_tokens: int,
    max_length_ratio: float,
    separators: int = 1,
) -> str | None:
    """Returns why the token ids of two sides make no pair, or None.

    Args:
        src: ids of the source side, without special tokens.
        tgt: ids of the target side.
        row_length: `[CLS] src [SEP] tgt [SEP]` has to fit into this many tokens.
        max_side_tokens: longer sides are "too_long".
        max_length_ratio: of the longer to the shorter side, in tokens.
        separators: `[SEP]`s between the sides.
    """
    shorter, longer = sorted((len(src), len(tgt)))
    if not shorter:
        return "empty_side"
    if longer > max_side_tokens or shorter + longer + 2 + separators > row_length:
        return "too_long"
    return "length_ratio" if longer > max_length_ratio * shorter else None


def sentence_hash(text: str) -> int:
    """Returns 64 bits that agree for texts equal up to case, width and spacing."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    normal = " ".join(folded.split()).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(normal, digest_size=8).digest(), "little")


def held_out_sentences(paths: Iterable[Path]) -> HeldOut:
    """Returns the hashes of all sentences in evaluation files."""
    return frozenset(
        sentence_hash(text)
        for path in paths
        for text in evaluation_texts(location(path))
    )


def evaluation_texts(path: Path) -> Iterator[str]:
    """Yields the sentences of an evaluation file.

    Every tab-separated cell of every line counts as a sentence; of CoNLL-U files the
    `# text = ` comments do.

    Raises:
        UserError: as `text.read_lines`.
    """
    conllu = ".conllu" in path.suffixes
    for raw in read_lines(path):
        for field in raw.split(b"\t"):
            text, _ = clean_line(field, max_bytes=LINE_CAP_BYTES)
            if not text:
                continue
            if not conllu:
                yield text
            elif text.startswith(_CONLLU_TEXT) and " = " in text:
                yield text.split(" = ", 1)[1]
