"""Which results stand in one table, and which of them are one model's seeds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from amber_jax.evaluation.results import Result, Retrieval
from amber_jax.report.published import official_sizes
from amber_jax.tasks import TASKS

MARK = "‡"  # behind models that were trained on other data than the benchmark's
OTHER_TEST = "§"  # behind scores of other test sets than the benchmark's
# The paper lists the languages of every other task by letter.
_XNLI_ORDER = TASKS["xnli"].languages


@dataclass(frozen=True)
class Entry:
    """One model in one table: its results, more than one where seeds were repeated."""

    label: str
    results: tuple[Result, ...]  # over the same languages

    @property
    def languages(self) -> frozenset[str]:
        """The languages that every one of the results was evaluated on."""
        return frozenset(self.results[0].scores)

    @property
    def marked_label(self) -> str:
        """The label, with a mark if the training set was another or was cut."""
        other = any(result.training_remarks for result in self.results)
        return f"{self.label} {MARK}" if other else self.label

    @property
    def is_untrained(self) -> bool:
        """Whether the parameters are the initial ones."""
        return self.results[0].step == 0


@dataclass(frozen=True)
class EvaluationSet:
    """The models that were evaluated on the same examples of one task."""

    task: str
    name: str
    title: str
    pivot: str
    languages: tuple[str, ...]  # of any of the models, in the paper's order
    sizes: dict[str, int]  # language -> examples or candidates
    entries: tuple[Entry, ...]  # in the given order, labels distinct

    @property
    def untranslated(self) -> dict[str, int]:
        """How many pairs have no translation, of the languages that have such pairs."""
        return {
            language: count
            for entry in self.entries
            for result in entry.results
            for language, count in result.untranslated.items()
            if count
        }

    @property
    def other_tests(self) -> dict[str, int]:
        """The official size of each test set that has another."""
        official = official_sizes(self.task, self.name, pivot=self.pivot)
        return {
            language: official[language]
            for language in self.languages
            if language in official and official[language] != self.sizes[language]
        }

    @property
    def marked_title(self) -> str:
        """The title, with a mark if a test set is not the official one."""
        return f"{self.title} {OTHER_TEST}" if self.other_tests else self.title

    @property
    def shared_languages(self) -> frozenset[str]:
        """The languages that all of the models were evaluated on."""
        return frozenset.intersection(*(entry.languages for entry in self.entries))


def group_results(results: Sequence[Result]) -> list[EvaluationSet]:
    """Returns the evaluation sets by task, each with its models.

    Results stand together if task, name and pivot are equal and no language has
    another number of examples: among 300 candidates is not among 1,000.
    """
    groups: list[list[Result]] = []
    for result in sorted(results, key=lambda result: list(TASKS).index(result.task)):
        alike = (group for group in groups if _same_examples(group, result))
        group = next(alike, None)
        if group is None:
            groups.append([result])
        else:
            group.append(result)
    titles = distinct([_title(group[0]) for group in groups])
    return [
        _evaluation_set(group, title)
        for group, title in zip(groups, titles, strict=True)
    ]


def _same_examples(group: Sequence[Result], result: Result) -> bool:
    return all(
        other.test_set == result.test_set
        and all(
            other.sizes[language] == size
            for language, size in result.sizes.items()
            if language in other.sizes
        )
        for other in group
    )


def _title(result: Result) -> str:
    title = TASKS[result.task].title
    return title if result.name == result.task else f"{title}, {result.name}"


def _evaluation_set(results: Sequence[Result], title: str) -> EvaluationSet:
    first = results[0]
    sizes = {name: size for result in results for name, size in result.sizes.items()}
    return EvaluationSet(
        task=first.task,
        name=first.name,
        title=title,
        pivot=first.pivot if isinstance(first, Retrieval) else "",
        languages=tuple(in_order(sizes, task=first.task)),
        sizes=sizes,
        entries=tuple(_with_distinct_labels(_join_seeds(results))),
    )


def in_order(languages: Iterable[str], *, task: str) -> list[str]:
    """Returns the languages by letter; XNLI's as its table lists them, others last."""
    order = _XNLI_ORDER if task == "xnli" else ()

    def place(language: str) -> tuple[int, str]:
        is_listed = language in order
        return (order.index(language) if is_listed else len(order), language)

    return sorted(languages, key=place)


def _join_seeds(results: Sequence[Result]) -> list[Entry]:
    """Returns one entry for the different seeds of a model, in the given order.

    A seed that comes again is another entry: it must not narrow the spread.
    """
    entries: list[Entry] = []
    for result in results:
        places = [i for i, entry in enumerate(entries) if _is_new_seed(entry, result)]
        if places:
            entry = entries[places[0]]
            entries[places[0]] = replace(entry, results=(*entry.results, result))
        else:
            entries.append(Entry(result.label, (result,)))
    return entries


def _is_new_seed(entry: Entry, result: Result) -> bool:
    first = entry.results[0]
    return (
        (first.label, first.settings) == (result.label, result.settings)
        and first.scores.keys() == result.scores.keys()
        and first.training_set == result.training_set
        and result.seed not in {None, *(earlier.seed for earlier in entry.results)}
    )


def _with_distinct_labels(entries: Sequence[Entry]) -> list[Entry]:
    """Returns the entries, those of equal labels told apart by their settings."""
    labels = [_told_apart(entry, entries) for entry in entries]
    return [
        replace(entry, label=label)
        for entry, label in zip(entries, distinct(labels), strict=True)
    ]


def _told_apart(entry: Entry, entries: Sequence[Entry]) -> str:
    namesakes = [other.results[0] for other in entries if other.label == entry.label]
    differing = []
    for name, value in entry.results[0].settings.items():
        others = {
            namesake.settings[name]
            for namesake in namesakes
            if name in namesake.settings
        }
        if len(others) > 1:
            is_word = value[:1].isalpha() and " " not in value
            differing.append(value if is_word else f"{name} {value}")
    return ", ".join([entry.label, *differing])


def distinct(labels: Sequence[str]) -> list[str]:
    """Returns the labels, the second of two equal ones with " (2)", and so on."""
    taken: Counter[str] = Counter()
    unique = []
    for label in labels:
        free = label
        while free in taken:
            taken[label] += 1
            free = f"{label} ({taken[label]})"
        taken[free] += 1
        unique.append(free)
    return unique
