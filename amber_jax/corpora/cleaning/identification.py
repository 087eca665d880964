"""Whether a text is in the language that its source says it is in.

`pip install 'amber_jax[corpora]'` brings the library, py3langid.
"""

import functools
import re
from typing import Any

from amber_jax.errors import from_extra

# Of the held sentences of these languages 90 % and more were identified, and less than
# 1 % taken for another's with a probability above `LOWEST_THRESHOLD`.
# Source: benchmarks/language_identification.py, whose table is in docs/data.md.
_JUDGED = (
    "ar bg bn ca cs da de el en es et eu fa fi fr gl he hi hu id it ja ka kk km ko lv "
    "mr ms my ne nl no pl pt ro ru sl sr sv sw ta te th tr uk ur vi zh zu"
)
JUDGED = frozenset(_JUDGED.split())
LOWEST_THRESHOLD = 0.8
IDENTIFICATION = 2  # the rule below: 1 chose among a corpus' own languages
_ENOUGH = 200  # characters that are looked at
_LABELS = {"nb": "no", "iw": "he", "in": "id"}  # where the library has another code


class Identification:
    """py3langid among all the languages that it knows.

    Not only among a corpus' own: text that does not belong there may be in any.
    """

    def __init__(self) -> None:
        """Loads the library's model.

        Raises:
            UserError: the library is not installed.
        """
        langid = library()
        # One of our own: the library's is shared by all who import it.
        self._identifier = langid.LanguageIdentifier.from_model_file(
            langid.MODEL_FILE, norm_probs=True
        )

    def most_probable(self, text: str) -> tuple[str, float]:
        """Returns the language that a text is most probably in, and how probably.

        Of a long text the beginning decides.
        """
        return self._identifier.classify(text[:_ENOUGH])

    def is_other(self, text: str, language: str, threshold: float) -> bool:
        """Returns whether a text is in another language with more than `threshold`.

        A language that is not among `JUDGED` is never refused.
        """
        own = label(language)
        if own not in JUDGED:
            return False
        predicted, probability = self.most_probable(text)
        return predicted != own and probability > threshold


@functools.cache
def label(language: str) -> str:
    """Returns the library's code: zh of zh_CN, no of nb."""
    base = re.split("[-_]", language.lower())[0]
    return _LABELS.get(base, base)


def library() -> Any:
    """Returns the library's module.

    Raises:
        UserError: it is not installed.
    """
    with from_extra("corpora", "languages are identified with py3langid"):
        from py3langid import langid
    return langid
