"""Labeled examples out of TensorFlow Datasets, named `tfds:NAME[/CONFIG]:SPLIT`.

    tfds:xtreme_pos/xtreme_pos_{language}:test     tfds:paws_x_wiki/{language}:test
    tfds:universal_dependencies/en_ewt:train       tfds:xnli:validation@/data/tfds
    tfds:wikiann/{language}:test

Tags of words are those of syntactic words, so they want `syntactic_words`.

Behind the @ is the folder of prepared data sets; without it TFDS uses its own, and
downloads what is not there. The library is imported when first used: it takes seconds.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from amber_jax.datasets.examples import LabeledPair, TaggedSentence
from amber_jax.errors import UserError, from_extra
from amber_jax.storage import is_remote, local_copy, location
from amber_jax.tasks import TASKS

_PREFIX = "tfds:"
_PAWSX_NAMES = ("different_meaning", "paraphrase")
_NO_TAG = "_"
_NO_HEAD = ("None", "_", "")  # of multi-word tokens and empty nodes

Example = Mapping[str, Any]


class Source(NamedTuple):
    """A split of a data set."""

    name: str  # with its config
    split: str
    data_dir: str | None


def is_tfds(source: str) -> bool:
    """Returns whether `source` names a TensorFlow data set instead of files."""
    return source.startswith(_PREFIX)


def parse_source(source: str, language: str) -> Source:
    """Returns the parts of `tfds:NAME[/CONFIG]:SPLIT[@DATA_DIR]`.

    Raises:
        UserError: it has no name or split.
    """
    text = source.removeprefix(_PREFIX).replace("{language}", language)
    spec, _, data_dir = text.partition("@")
    name, _, split = spec.partition(":")
    if not name or not split:
        raise UserError(
            f"{source!r} names no TensorFlow data set; wanted "
            "tfds:NAME:SPLIT, tfds:NAME/CONFIG:SPLIT or either with @DATA_DIR"
        )
    return Source(name, split, data_dir or None)


def read_part_of_speech(
    source: str, *, language: str, syntactic_words: bool = False
) -> list[TaggedSentence]:
    """Returns the sentences of `xtreme_pos` or `universal_dependencies`.

    TFDS keeps UD's syntactic words, also in `xtreme_pos`: multi-word tokens and empty
    nodes are left out here, or were there.

    Raises:
        UserError: the data set cannot be had or read, or surface tokens are wanted.
    """
    if not syntactic_words:
        raise UserError(
            f"{source}: TFDS has syntactic words only, not the surface tokens that "
            "XTREME tags; read CoNLL-U files, or set syntactic_words"
        )
    examples, features = _load(source, language)
    tags = _names(features, "upos", source, allowed={*TASKS["udpos"].labels, _NO_TAG})
    sentences = []
    for number, example in enumerate(examples, start=1):
        forms = _texts(example, "tokens", source, number)
        numbers = _field(example, "upos", source, number)
        heads = ["0"] * len(forms)
        if "head" in example:
            heads = _texts(example, "head", source, number)
        if not len(forms) == len(numbers) == len(heads):
            raise _error(source, number, "has unequal numbers of tokens, upos and head")
        words = [
            (form, tags[tag])
            for form, tag, head in zip(forms, numbers, heads, strict=True)
            if head not in _NO_HEAD and tags[tag] != _NO_TAG
        ]
        if words:
            sentences.append(TaggedSentence(*zip(*words, strict=True)))
    return sentences


def read_tags(source: str, *, language: str, task: str) -> list[TaggedSentence]:
    """Returns the sentences of `wikiann`, or another set with tokens and tags.

    Raises:
        UserError: the data set cannot be had or read, or has other tags.
    """
    examples, features = _load(source, language)
    tags = _names(features, "tags", source, allowed=TASKS[task].labels)
    sentences = []
    for number, example in enumerate(examples, start=1):
        words = _texts(example, "tokens", source, number)
        numbers = _field(example, "tags", source, number)
        if len(words) != len(numbers):
            raise _error(source, number, "has unequal numbers of tokens and tags")
        sentences.append(TaggedSentence(tuple(words), tuple(tags[n] for n in numbers)))
    return sentences


def read_labeled_pairs(source: str, *, language: str, task: str) -> list[LabeledPair]:
    """Returns the pairs of `xnli`, `xtreme_xnli`, `paws_x_wiki` or `xtreme_pawsx`.

    Raises:
        UserError: the data set cannot be had or read, or has no such language.
    """
    examples, features = _load(source, language)
    allowed = TASKS["xnli"].labels if task == "xnli" else _PAWSX_NAMES
    labels = _names(features, "label", source, allowed=allowed)
    pairs: list[LabeledPair] = []
    for number, example in enumerate(examples, start=1):
        label = int(_field(example, "label", source, number))
        if not 0 <= label < len(labels):
            raise _error(source, number, f"has the label {label}; wanted gold labels")
        if task == "xnli":
            first = _translation(example, "premise", language, source, number)
            second = _translation(example, "hypothesis", language, source, number)
            pairs.append(LabeledPair(first, second, labels[label]))
            continue
        first = _text(example, "sentence1", source, number)
        second = _text(example, "sentence2", source, number)
        pairs.append(LabeledPair(first, second, str(label)))
    return pairs


def read_translations(source: str, *, language: str) -> tuple[list[str], list[str]]:
    """Returns the sentences of TFDS `tatoeba` and their English translations.

    Raises:
        UserError: the data set cannot be had or read, or is empty.
    """
    examples, _ = _load(source, language)
    sentences, english = [], []
    for number, example in enumerate(examples, start=1):
        sentences.append(_text(example, "source_sentence", source, number))
        english.append(_text(example, "target_sentence", source, number))
    if not sentences:
        raise UserError(f"{source} has no sentences of the language {language!r}")
    return sentences, english


def _load(source: str, language: str) -> tuple[Iterator[Example], Mapping[str, Any]]:
    """Returns the examples of a split as numpy, and its features."""
    with from_extra("train", f"{source} is read with TensorFlow Datasets"):
        import tensorflow_datasets as tfds

    parts = parse_source(source, language)
    try:
        dataset, info = tfds.load(
            parts.name,
            split=parts.split,
            data_dir=_local(parts),
            # A mistyped folder must not become a download.
            download=parts.data_dir is None,
            with_info=True,
        )
        features = dict(info.features.items())
    # Whatever TFDS, TensorFlow or the network raise: there is no common class.
    except Exception as error:
        raise UserError(
            f"{source}: TFDS cannot give {parts.name}, split {parts.split} "
            f"({_first_line(error)}); correct the name, or the folder behind @"
        ) from error
    return _until_it_breaks(tfds.as_numpy(dataset), source), features


def _local(source: Source) -> str | None:
    """Returns the data folder on this machine; of a remote one what is wanted."""
    if source.data_dir is None:
        return None
    folder = location(source.data_dir)
    if not is_remote(folder):
        return source.data_dir
    return str(local_copy(folder / source.name.split("/")[0].split(":")[0]).parent)


def _until_it_breaks(examples: Iterable[Example], source: str) -> Iterator[Example]:
    number = 0
    try:
        for example in examples:
            number += 1
            yield example
    except Exception as error:
        raise _error(
            source,
            number + 1,
            f"cannot be read ({_first_line(error)}); prepare the data set again",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _names(
    features: Mapping[str, Any], name: str, source: str, *, allowed: Collection[str]
) -> list[str]:
    """Returns what the numbers of a feature, or of its elements, stand for."""
    feature = features.get(name)
    names = getattr(getattr(feature, "feature", feature), "names", None)
    if not names or not set(names) <= set(allowed):
        raise UserError(
            f"{source} has the features {', '.join(features)}; wanted {name}, one of "
            f"{', '.join(sorted(allowed))}"
        )
    return list(names)


def _field(example: Example, name: str, source: str, number: int) -> Any:
    if name not in example:
        raise _error(source, number, f"has no {name}; this task cannot read the data")
    return example[name]


def _text(example: Example, name: str, source: str, number: int) -> str:
    return _decoded(_field(example, name, source, number)).strip()


def _texts(example: Example, name: str, source: str, number: int) -> list[str]:
    return [_decoded(text) for text in _field(example, name, source, number)]


def _decoded(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _translation(
    example: Example, name: str, language: str, source: str, number: int
) -> str:
    """Returns one language of a Translation or TranslationVariableLanguages."""
    texts = _field(example, name, source, number)
    if "translation" in texts:
        languages = _texts(texts, "language", source, number)
        texts = dict(zip(languages, texts["translation"], strict=False))
    if language not in texts:
        raise _error(source, number, f"has no {name} in the language {language!r}")
    return _text(texts, language, source, number)


def _error(source: str, number: int, what: str) -> UserError:
    return UserError(f"{source}, example {number} {what}")
