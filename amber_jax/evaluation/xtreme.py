"""XTREME's folders of predictions and labels: written, read back and scored.

`FOLDER/TASK/test-LANGUAGE.tsv` has one answer a line: a label (xnli, pawsx), the
number of a sentence from 0 (tatoeba), or a tag, with an empty line behind every
sentence (udpos, panx).

Source: google-research/xtreme, evaluate.py and README.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from amber_jax.datasets.text_lines import excerpt, line_error, numbered_lines
from amber_jax.errors import UserError
from amber_jax.evaluation import scores
from amber_jax.files import make_folder, write_text
from amber_jax.tasks import TAGS, TASKS, Task

LANGUAGES = {
    task.xtreme_folder: task.xtreme_languages
    for task in TASKS.values()
    if task.xtreme_folder
}

_TAGGING = {task.xtreme_folder for task in TASKS.values() if task.kind == TAGS}

Answers = Sequence[str] | Sequence[int] | Sequence[Sequence[str]]


def write_predictions(
    folder: Path, task: Task, language: str, predictions: Answers
) -> Path:
    """Writes `folder`/TASK/test-LANGUAGE.tsv and returns its path.

    Args:
        folder: is made if it is not there.
        task: one that XTREME has.
        language: ISO 639-1 code.
        predictions: one answer per example, in the order of the test file; of words
            that are tagged, the tags of each sentence. For tatoeba,
            `tatoeba.sorted_english` tells XTREME's order.

    Raises:
        UserError: the file cannot be written.
        ValueError: an answer would not be one line.
    """
    path = _file(folder, task.xtreme_folder, language)
    sentences = predictions if task.kind == TAGS else [predictions]
    lines = [[str(answer) for answer in sentence] for sentence in sentences]
    for answer in (answer for sentence in lines for answer in sentence):
        if answer.split() != [answer]:
            raise ValueError(f"{answer!r} is no answer of {task.name}")
    border = "\n" if task.kind == TAGS else ""
    text = "".join(
        "".join(f"{answer}\n" for answer in sentence) + border for sentence in lines
    )
    make_folder(path.parent)
    write_text(path, text)
    return path


def read_answers(path: Path) -> list[str]:
    """Returns the answers of an xnli, pawsx or tatoeba file.

    Raises:
        UserError: the file cannot be read, or a line is empty.
    """
    answers = []
    for number, line in numbered_lines(path):
        answers.append(line.strip())
        if not answers[-1]:
            raise line_error(path, number, "is empty; wanted one answer a line")
    return answers


def read_tags(path: Path) -> list[list[str]]:
    """Returns the tags of each sentence of a udpos or panx file.

    As in XTREME's reader, every empty line ends a sentence, even one without words.

    Raises:
        UserError: the file cannot be read, or a line holds more than a tag.
    """
    sentences: list[list[str]] = [[]]
    for number, line in numbered_lines(path):
        tag = line.strip()
        if len(tag.split()) > 1:
            raise line_error(path, number, f"is {excerpt(line)}; wanted one tag")
        if tag:
            sentences[-1].append(tag)
        else:
            sentences.append([])
    return sentences if sentences[-1] else sentences[:-1]


def score_folder(
    predictions: Path,
    labels: Path,
    *,
    languages: Mapping[str, Sequence[str]] = LANGUAGES,
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns {task: {metric: {language: percent, ..., "average": percent}}}.

    Every task that both folders have is scored, with XTREME's numbers: accuracy, and
    precision, recall and F1 of `scores.chunk_scores` for tags. Unlike XTREME's own
    script, which pairs lines until the shorter file ends, a file with too few or too
    many answers is refused, also within a sentence.

    Args:
        predictions: folder as `write_predictions` makes it.
        labels: the same with the right answers.
        languages: those that each task is averaged over; all must be there.

    Raises:
        UserError: a file or a task is missing or cannot be read, or counts differ.
    """
    tasks = [
        task
        for task, wanted in languages.items()
        if wanted and (predictions / task).is_dir() and (labels / task).is_dir()
    ]
    if not tasks:
        raise UserError(
            f"{predictions} and {labels} share no folder called "
            f"{', '.join(languages)} with test-XX.tsv files; there is nothing to score"
        )
    return {
        task: _score_task(task, predictions, labels, languages[task]) for task in tasks
    }


def _score_task(
    task: str, predictions: Path, labels: Path, languages: Sequence[str]
) -> dict[str, dict[str, float]]:
    for folder in (predictions, labels):
        missing = [
            language
            for language in languages
            if not _file(folder, task, language).is_file()
        ]
        if missing:
            raise UserError(
                f"{folder / task} has no test-XX.tsv for {', '.join(missing)}; wanted "
                f"{', '.join(languages)}"
            )
    scored = {
        language: _score_file(
            task, _file(predictions, task, language), _file(labels, task, language)
        )
        for language in languages
    }
    metrics = next(iter(scored.values()))
    table = {
        metric: {
            language: of_language[metric] for language, of_language in scored.items()
        }
        for metric in metrics
    }
    return {
        metric: {**by_language, "average": sum(by_language.values()) / len(by_language)}
        for metric, by_language in table.items()
    }


def _score_file(task: str, predictions: Path, labels: Path) -> dict[str, float]:
    """Returns {metric: percent} of one language."""
    try:
        if task in _TAGGING:
            shares = scores.chunk_scores(read_tags(labels), read_tags(predictions))
        else:
            gold, answers = read_answers(labels), read_answers(predictions)
            shares = {"accuracy": scores.accuracy(gold, answers)}
    except UserError as error:
        raise UserError(f"{predictions} against {labels}: {error}") from error
    return {metric: share * 100 for metric, share in shares.items()}


def _file(folder: Path, task: str, language: str) -> Path:
    return folder / task / f"test-{language}.tsv"
