"""The sentences under a table: how to read it, and what to mind about its numbers."""

from collections.abc import Iterable, Mapping

from amber_jax.report.grouping import (
    MARK,
    OTHER_TEST,
    Entry,
    EvaluationSet,
    in_order,
)
from amber_jax.report.published import PUBLISHED
from amber_jax.tasks import RETRIEVAL, TASKS

ABSENT, COLLAPSED = "–", "†"
_BASELINES = {
    "chance": "chance picks any candidate",
    "majority": "majority always gives the test's own most frequent label",
    "majority f1": "majority always gives the test's own most frequent tag, which "
    "makes one long chunk of every sentence, or none: its F1 is next to nothing and no "
    "fault, compare its share of right words in the table of token accuracy",
    "frequent_tag": "frequent tag gives each word its most frequent tag of the "
    "training set",
    "diagonal": "diagonal links words at the same place of their sentences",
}


def explanation(
    evaluation: EvaluationSet, metric: str, alike: frozenset[str]
) -> list[str]:
    """Returns how to read the table of `metric`.

    Args:
        evaluation: what the table shows.
        metric: of its headline.
        alike: the languages that stand beside published numbers.
    """
    names = {
        name
        for entry in evaluation.entries
        for result in entry.results
        for name in result.baseline_shares().get(metric, ())
    }
    meanings = TASKS[evaluation.task].meanings
    texts = [
        _BASELINES.get(f"{name} {metric}", text)
        for name, text in _BASELINES.items()
        if name in names
    ]
    return [
        *([meanings[metric]] if metric in meanings else []),
        _sizes(evaluation),
        *_odd_rows(evaluation),
        *([f"Baselines: {'; '.join(texts)}."] if texts else []),
        *(PUBLISHED[evaluation.task].caveats if alike else ()),
    ]


def _sizes(evaluation: EvaluationSet) -> str:
    what = "Candidates" if evaluation.task == RETRIEVAL else "Test examples"
    by_size: dict[int, list[str]] = {}
    for language in evaluation.languages:
        by_size.setdefault(evaluation.sizes[language], []).append(language)
    if len(by_size) == 1:
        return f"{what} in each language: {next(iter(by_size)):,}."
    sizes = (f"{size:,} ({', '.join(names)})" for size, names in by_size.items())
    return f"{what}: {', '.join(sizes)}."


def _odd_rows(evaluation: EvaluationSet) -> Iterable[str]:
    counts = evaluation.untranslated
    if counts:
        by_language = ", ".join(f"{name} {counts[name]:,}" for name in sorted(counts))
        yield (
            "Pairs without translation (NS) are counted as XTREME counts them: "
            f"{by_language}; ‘without NS’ is the average that leaves them out."
        )
    left_out = dict.fromkeys(
        f"{language}: {count:,} {reason}"
        for entry in evaluation.entries
        for result in entry.results
        for language, reasons in result.left_out.items()
        for reason, count in reasons.items()
    )
    if left_out:
        yield f"Left out of the tests: {'; '.join(left_out)}."


def notes(
    evaluation: EvaluationSet, averaged: Mapping[str, frozenset[str]]
) -> list[str]:
    """Returns what the columns and signs of an evaluation set's tables mean.

    Args:
        evaluation: what the table shows.
        averaged: the label of each column of averages, and its languages.
    """
    return [*_sets(evaluation, averaged), *_spread(evaluation.entries)]


def warnings(evaluation: EvaluationSet) -> list[str]:
    """Returns what is wrong with models, or with what they were trained or tested on.

    A collapse, and what the marks of a table stand for.
    """
    return [
        *_collapsed(evaluation.entries),
        *_other_training(evaluation.entries),
        *_other_tests(evaluation),
    ]


def _sets(
    evaluation: EvaluationSet, averaged: Mapping[str, frozenset[str]]
) -> Iterable[str]:
    everything = frozenset(evaluation.languages)
    for label, languages in averaged.items():
        left_out = in_order(everything - languages, task=evaluation.task)
        if left_out:
            names = ", ".join(in_order(languages, task=evaluation.task))
            few = len(left_out) < len(languages)
            yield f"{label}: {'all but ' + ', '.join(left_out) if few else names}."
    if evaluation.shared_languages != everything:
        lacking = [
            entry.label for entry in evaluation.entries if entry.languages != everything
        ]
        yield (
            f"{ABSENT}: {', '.join(lacking)} was not evaluated there; averages are "
            "over languages that all models have."
        )


def _spread(entries: Iterable[Entry]) -> Iterable[str]:
    repeated = [entry for entry in entries if len(entry.results) > 1]
    if repeated:
        counts = ", ".join(f"{entry.label} {len(entry.results)}" for entry in repeated)
        yield f"±: sample standard deviation over fine-tuning seeds ({counts})."


def _collapsed(entries: Iterable[Entry]) -> Iterable[str]:
    for entry in entries:
        for result in entry.results:
            if result.collapsed:
                seed = "" if result.seed is None else f" (seed {result.seed})"
                yield (
                    f"{COLLAPSED} {entry.label}{seed} has collapsed: one constant "
                    f"prediction in {', '.join(result.collapsed)}; try another seed, "
                    "warm-up steps or a lower learning rate."
                )


def _other_training(entries: Iterable[Entry]) -> Iterable[str]:
    labels: dict[str, dict[str, None]] = {}  # by sentence, in order
    for entry in entries:
        for result in entry.results:
            for sentence in result.training_remarks:
                labels.setdefault(sentence, {})[entry.label] = None
    for sentence, names in labels.items():
        yield f"{MARK} {', '.join(names)}: {sentence}."


def _other_tests(evaluation: EvaluationSet) -> Iterable[str]:
    by_size: dict[tuple[int, int], list[str]] = {}
    for language, official in evaluation.other_tests.items():
        sizes = evaluation.sizes[language], official
        by_size.setdefault(sizes, []).append(language)
    if by_size:
        tests = (
            f"{', '.join(names)} ({size:,} instead of {official:,})"
            for (size, official), names in by_size.items()
        )
        yield f"{OTHER_TEST} not the benchmark's own test set: {'; '.join(tests)}."
