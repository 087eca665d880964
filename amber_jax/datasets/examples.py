"""One labelled example of each task, as readers return them and tasks consume them."""

from typing import Generic, NamedTuple, TypeVar

Example = TypeVar("Example")


class TaggedSentence(NamedTuple):
    """A sentence with one tag per word; both have the same length."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What is to be predicted: the tags."""
        return self.tags


class LabelledPair(NamedTuple):
    """Two sentences and the label of the pair."""

    first: str
    second: str
    label: str

    @property
    def labels(self) -> tuple[str, ...]:
        """What is to be predicted: the label alone."""
        return (self.label,)


class AlignedPair(NamedTuple):
    """A sentence and its translation, and which words translate each other.

    Links are (place in `src`, place in `tgt`), both from 0.
    """

    src: tuple[str, ...]
    tgt: tuple[str, ...]
    sure: frozenset[tuple[int, int]]
    possible: frozenset[tuple[int, int]]  # holds all of `sure`


class Read(NamedTuple, Generic[Example]):
    """What a reader found."""

    examples: list[Example]
    dropped: dict[str, int]  # reason -> how many examples
    files: list[str]  # in the order read
