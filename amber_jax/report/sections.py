"""What a report says, in reading order: tables, pictures, and where they came from."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from amber_jax.report.document import Document, Facts, Paragraph, Picture, Section
from amber_jax.report.grouping import MARK, Entry, EvaluationSet
from amber_jax.report.results import Result
from amber_jax.report.tables import Table

LANGUAGES = "languages"  # begins the names of the pictures of one evaluation set each
_PICTURES = {  # name: title, caption
    "overview": ("Overview", "The run at a glance; each panel is explained below."),
    "gap": (
        "English and the others",
        "How far what was learned in English carries: the score in English, the mean "
        "of the other languages, and the points between them.",
    ),
    "layers": (
        "Retrieval by layer",
        "The mean over both directions and all languages, from the output of each "
        "layer; a ring marks the layer that the table shows.",
    ),
    "retrieval": (
        "Retrieval while training",
        "How often a sentence's nearest neighbour by cosine is its translation: mean "
        "over both directions and all languages, while training.",
    ),
    "losses": (
        "Losses of pretraining",
        "Training losses in nats (word alignment: a share), as measured (faint) and "
        "as a running mean; rings mark evaluations. The last two say what the "
        "word-alignment loss is doing: the share of the agreement on one source word, "
        "and on words in equal places.",
    ),
    "finetuning": (
        "Fine-tuning",
        "Cross entropy in nats and the score on English dev, which alone chooses the "
        "step; rings mark evaluations, a star the best step.",
    ),
    "alignment": (
        "Words",
        "One sentence pair. Left: geometric mean of the two directions of attention, "
        "averaged over the heads of the last layer. Right: cosine of the "
        "words' vectors. Rings mark cells that are greatest in their row and column.",
    ),
    "vectors": (
        "Sentences",
        "Sentence vectors on their two principal components: one colour and star per "
        "meaning, one marker per language.",
    ),
}
_BARS = (
    "By language: a bar per model, its standard deviation over seeds as a whisker, "
    "baselines as lines, the paper's AMBER as a diamond where it is comparable."
)
Scores = Sequence[tuple[EvaluationSet, Sequence[Table]]]


def build_document(scores: Scores, pictures: Mapping[str, Path]) -> Document:
    """Returns the report.

    Args:
        scores: the evaluation sets, each with its tables.
        pictures: {name: file}, as `figures.write_figures` returns them.
    """
    entries = [entry for evaluation, _ in scores for entry in evaluation.entries]
    return Document(
        title=_title(entries),
        sections=[
            *_picture_sections(pictures, ["overview"]),
            *(_of_evaluation(*one, pictures) for one in scores),
            *_picture_sections(pictures, list(_PICTURES)[1:]),
            *([_provenance(scores)] if scores else []),
        ],
    )


def _title(entries: Iterable[Entry]) -> str:
    names = list(dict.fromkeys(e.results[0].label for e in entries))
    if not 0 < len(names) <= 4:
        return f"Report on {len(names)} models" if names else "Report"
    *others, last = names
    return "Report on " + (f"{', '.join(others)} and {last}" if others else last)


def _picture_sections(
    pictures: Mapping[str, Path], names: Iterable[str]
) -> list[Section]:
    return [
        Section(_PICTURES[name][0], [Picture(pictures[name], *_PICTURES[name])])
        for name in names
        if name in pictures
    ]


def _of_evaluation(
    evaluation: EvaluationSet, tables: Sequence[Table], pictures: Mapping[str, Path]
) -> Section:
    path = pictures[f"{LANGUAGES} {evaluation.title}"]
    picture = Picture(path, f"{evaluation.title} by language", _BARS)
    return Section(evaluation.title, [*tables, picture])


def _provenance(scores: Scores) -> Section:
    """Returns a line per result, in a table for each kind of task."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for evaluation, _ in scores:
        for entry in evaluation.entries:
            for result in entry.results:
                facts = _facts(evaluation, entry, result)
                tables.setdefault(tuple(facts), []).append(list(facts.values()))
    words = Paragraph(
        "One line per evaluation; of several seeds, one line each. Of a model with "
        f"{MARK} the training set was another than the benchmark's, or a part of it."
    )
    facts = [Facts(header, rows) for header, rows in tables.items()]
    return Section("What was evaluated", [words, *facts])


def _facts(evaluation: EvaluationSet, entry: Entry, result: Result) -> dict[str, str]:
    return {
        "model": entry.marked_label,
        "evaluation": evaluation.title,
        "step": f"{result.step:,}",
        **({} if result.seed is None else {"seed": str(result.seed)}),
        **result.settings,
        **result.details,
        "checkpoint": result.checkpoint,  # the longest comes last
    }
