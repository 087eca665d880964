"""What cleaning a config may ask for; each default asks for nothing."""

from dataclasses import dataclass

from amber_jax.corpora.cleaning.identification import LOWEST_THRESHOLD
from amber_jax.ranges import Choice, real, whole

_ANY_LENGTH = 1 << 20  # characters; no line is longer


@dataclass(frozen=True)
class Cleaning:
    """The block `cleaning` of a config; docs/data.md says what each option does."""

    normalization: str = ""  # Unicode's "NFC" or "NFKC"
    evaluation_words: int = 0  # of an evaluation sentence, in sequence; 0: all of it
    min_characters: int = 0
    max_characters: int = _ANY_LENGTH
    min_letters: float = 0.0  # shares of the characters that are no spaces
    max_digits: float = 1.0
    max_repeated: float = 1.0
    min_script: float = 0.0  # share of the letters
    language_threshold: float = 1.0  # probability of another language
    language_min_characters: int = 20  # shorter lines are not identified
    max_copied: float = 1.0  # share of the shorter side's sequences of 5 characters
    exact_duplicates: bool = False
    near_duplicates: float = 0.0  # least resemblance; also leaves out exact ones

    @property
    def compares_texts(self) -> bool:
        """Whether a text is left out for what stands elsewhere in the corpus."""
        return self.exact_duplicates or self.near_duplicates > 0


CLEANING_RANGES = {
    "normalization": Choice(("", "NFC", "NFKC")),
    "evaluation_words": whole(0, 1000),
    "min_characters": whole(0, _ANY_LENGTH),
    "max_characters": whole(1, _ANY_LENGTH),
    "min_letters": real(0, 1),
    "max_digits": real(0, 1),
    "max_repeated": real(0, 1),
    "min_script": real(0, 1),
    "language_threshold": real(LOWEST_THRESHOLD, 1),
    "language_min_characters": whole(0, _ANY_LENGTH),
    "max_copied": real(0, 1),
    "exact_duplicates": bool,
    "near_duplicates": real(0, 1),
}
