"""The tasks that an encoder is judged by, each defined in one record.

A record says what is true of a task whoever trains, scores or draws it. Its examples
are read by its entry of `datasets.readers`, a label of its kind is learned under the
entry of `finetuning.heads`, and the paper's numbers stand in `report.published`.
"""

import dataclasses
from collections.abc import Mapping

# Kinds: a label for every word, one for two sentences, and two that need no training.
TAGS, PAIRS = "tags", "pairs"
RETRIEVAL, WORD_ALIGNMENT = "retrieval", "word_alignment"

BOTH = "both"  # the mean of both directions of retrieval
DIRECTIONS = ("xx_to_en", "en_to_xx")  # "en" stands for whatever the pivot is
TRANSLATED = "translated"  # accuracy without the pairs that have no translation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One benchmark; languages are ISO 639-1 codes."""

    name: str  # in configs and results
    title: str  # of its tables
    kind: str  # TAGS, PAIRS, RETRIEVAL or WORD_ALIGNMENT
    metrics: tuple[str, ...]  # of every language, shares; the first is the headline
    # Metric -> how to read its table, where its name does not say so.
    meanings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: tuple[str, ...] = ()  # of kinds that are trained
    languages: tuple[str, ...] = ()  # tested: the paper's, in its order, or XTREME's
    train_language: str = "en"
    xtreme_folder: str = ""  # what XTREME calls it
    xtreme_languages: tuple[str, ...] = ()  # that XTREME averages over
    # Language -> examples of the official test set; in retrieval, candidates.
    test_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def metric(self) -> str:
        """By which a step is chosen and tables are ordered."""
        return self.metrics[0]

    @property
    def label_ids(self) -> dict[str, int]:
        """The number of each label."""
        return {label: number for number, label in enumerate(self.labels)}


_RIGHT_WORDS = "The share of words with the right tag."

# Source of every `xtreme_languages`: google-research/xtreme, evaluate.py.
_UDPOS = Task(
    name="udpos",
    title="Part-of-speech tagging",
    kind=TAGS,
    metrics=("f1", "accuracy"),
    meanings={
        "f1": "F1 of runs of equal tags, as XTREME's seqeval counts them.",
        "accuracy": _RIGHT_WORDS,
    },
    labels=(
        "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART",
        "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
    ),
    languages=(
        "ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "tr", "ur", "vi", "zh",
    ),
    xtreme_folder="udpos",
    xtreme_languages=(
        "af", "ar", "bg", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he",
        "hi", "hu", "id", "it", "ja", "kk", "ko", "mr", "nl", "pt", "ru", "ta", "te",
        "th", "tl", "tr", "ur", "vi", "yo", "zh",
    ),
    # Sentences of XTREME's test files: all treebanks of a language in UD 2.5, without
    # those whose words are withheld (all of Arabic-NYUAD, all but 12 of French-FTB).
    # Source: google-research/xtreme, scripts/download_data.sh and utils_preprocess.py;
    # the counts are those of the treebanks' stats.xml at tag r2.5, the filter's are
    # counted.
    test_sizes={
        "ar": 680 + 1_000,  # PADT, PUD
        "bg": 1_116,  # BTB
        "de": 977 + 18_459 + 1_922 + 1_000,  # GSD, HDT, LIT, PUD
        "el": 456,  # GDT
        # EWT, GUM, LinES, ParTUT, PUD, Pronouns
        "en": 2_077 + 890 + 1_035 + 153 + 1_000 + 285,
        "es": 1_721 + 426 + 1_000,  # AnCora, GSD, PUD
        # FQB, FTB, GSD, ParTUT, PUD, Sequoia, Spoken
        "fr": 2_289 + 12 + 416 + 110 + 1_000 + 456 + 726,
        "hi": 1_684 + 1_000,  # HDTB, PUD
        "ru": 601 + 1_000 + 6_491 + 884,  # GSD, PUD, SynTagRus, Taiga
        "tr": 2_802 + 983 + 1_000,  # GB, IMST, PUD
        "ur": 535,  # UDTB
        "vi": 800,  # VTB
        "zh": 451 + 500 + 500 + 1_004 + 1_000,  # CFL, GSD, GSDSimp, HK, PUD
    },
)  # fmt: skip

_PANX_LANGUAGES = (
    "af", "ar", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he",
    "hi", "hu", "id", "it", "ja", "jv", "ka", "kk", "ko", "ml", "mr", "ms", "my", "nl",
    "pt", "ru", "sw", "ta", "te", "th", "tl", "tr", "ur", "vi", "yo", "zh",
)  # fmt: skip
_PANX_SMALL = ("af", "bn", "hi", "kk", "ml", "mr", "ms", "sw", "ta", "te", "tl", "ur")

_PANX = Task(
    name="panx",
    title="Named entities (PANX)",
    kind=TAGS,
    metrics=("f1", "accuracy"),
    meanings={
        "f1": "F1 of whole entities, as XTREME's seqeval counts them.",
        "accuracy": _RIGHT_WORDS,
    },
    labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"),
    languages=_PANX_LANGUAGES,
    xtreme_folder="panx",
    xtreme_languages=_PANX_LANGUAGES,
    # Source: Rahimi et al. 2019, "Massively Multilingual Transfer for NER".
    test_sizes={
        **dict.fromkeys(_PANX_LANGUAGES, 10_000),
        **dict.fromkeys(_PANX_SMALL, 1_000),
        **dict.fromkeys(("jv", "my", "yo"), 100),
    },
)

_PAWSX_LANGUAGES = ("de", "en", "es", "fr", "ja", "ko", "zh")

_PAWSX = Task(
    name="pawsx",
    title="Paraphrases (PAWS-X)",
    kind=PAIRS,
    metrics=("accuracy", TRANSLATED),
    labels=("0", "1"),
    languages=("de", "en", "es", "fr", "zh"),
    xtreme_folder="pawsx",
    xtreme_languages=_PAWSX_LANGUAGES,
    # Pairs without translation count. Source: Yang et al. 2019, table 1.
    test_sizes=dict.fromkeys(_PAWSX_LANGUAGES, 2_000),
)

_XNLI_LANGUAGES = (
    *("en", "zh", "es", "de", "ar", "ur", "ru", "bg"),
    *("el", "fr", "hi", "sw", "th", "tr", "vi"),
)

_XNLI = Task(
    name="xnli",
    title="Inference (XNLI)",
    kind=PAIRS,
    metrics=("accuracy",),
    labels=("contradiction", "entailment", "neutral"),
    languages=_XNLI_LANGUAGES,
    xtreme_folder="xnli",
    xtreme_languages=tuple(sorted(_XNLI_LANGUAGES)),
    # Source: Conneau et al. 2018, section 3.
    test_sizes=dict.fromkeys(_XNLI_LANGUAGES, 5_010),
)

_RETRIEVAL = Task(
    name=RETRIEVAL,
    title="Retrieval",
    kind=RETRIEVAL,
    metrics=(BOTH, *DIRECTIONS),
    meanings={
        BOTH: "A language's number is the mean of both directions; the last two "
        "columns are the averages of each direction.",
        "xx_to_en": "One direction only, the one that the paper measures.",
    },
    xtreme_folder="tatoeba",
    xtreme_languages=(
        "ar", "he", "vi", "id", "jv", "tl", "eu", "ml", "ta", "te", "af", "nl", "de",
        "el", "bn", "hi", "mr", "ur", "fa", "fr", "it", "pt", "es", "bg", "ru", "ja",
        "ka", "ko", "th", "sw", "zh", "kk", "tr", "et", "fi", "hu",
    ),
    # Fewer candidates are easier to choose among. Source: LASER's Tatoeba v1, of the
    # paper's languages.
    test_sizes={
        **dict.fromkeys(("ar", "bg", "de", "el", "es", "fr", "hi", "ru"), 1_000),
        **dict.fromkeys(("tr", "ur", "vi", "zh"), 1_000),
        **{"sw": 390, "th": 548},
    },
)  # fmt: skip

_WORD_ALIGNMENT = Task(
    name=WORD_ALIGNMENT,
    title="Word alignment",
    kind=WORD_ALIGNMENT,
    metrics=("aer", "f1", "precision", "recall"),
    meanings={
        "aer": "Links found against gold links; F1, precision and recall are averages "
        "over the same languages.",
    },
)

# In the order of reports.
TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (_UDPOS, _PANX, _PAWSX, _XNLI, _RETRIEVAL, _WORD_ALIGNMENT)
}
FINE_TUNED = tuple(name for name, task in TASKS.items() if task.labels)
