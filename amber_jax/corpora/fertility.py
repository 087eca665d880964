"""How many tokens a vocabulary makes of the words of each language."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from amber_jax.files import write_json
from amber_jax.tokenization import Tokenizer

FERTILITY = "fertility.json"
_BYTE = re.compile("<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Fertility:
    """Counts over some sentences of a language."""

    sentences: int
    characters: int  # that are no spaces
    words: int  # between spaces: in Chinese, Japanese and Thai phrases or more
    tokens: int
    unknown: int  # tokens that stand for what has no piece, single bytes among them

    @property
    def tokens_a_word(self) -> float:
        """Tokens over words; 0 without words."""
        return self.tokens / self.words if self.words else 0.0

    @property
    def characters_a_token(self) -> float:
        """Characters over tokens; 0 without tokens."""
        return self.characters / self.tokens if self.tokens else 0.0

    @property
    def unknown_rate(self) -> float:
        """The share of the tokens that are unknown; 0 without tokens."""
        return self.unknown / self.tokens if self.tokens else 0.0


def fertility(
    tokenizer: Tokenizer, texts: Mapping[str, Sequence[str]]
) -> dict[str, Fertility]:
    """Returns the counts of each language's sentences."""
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    spelled = {i for i, piece in enumerate(pieces) if _BYTE.fullmatch(piece)}
    unknown = spelled | {tokenizer.special.unk}
    return {
        language: _counts(sentences, tokenizer, unknown)
        for language, sentences in texts.items()
    }


def write_fertility(directory: Path, fertilities: Mapping[str, Fertility]) -> None:
    """Writes the counts of each language beside a vocabulary."""
    write_json(
        directory / FERTILITY,
        {language: asdict(counts) for language, counts in fertilities.items()},
    )


def _counts(
    sentences: Sequence[str], tokenizer: Tokenizer, unknown: set[int]
) -> Fertility:
    words = [sentence.split() for sentence in sentences]
    ids = tokenizer.encode_batch(sentences)
    return Fertility(
        sentences=len(sentences),
        characters=sum(len(word) for of_one in words for word in of_one),
        words=sum(map(len, words)),
        tokens=sum(map(len, ids)),
        unknown=sum(i in unknown for of_one in ids for i in of_one),
    )
