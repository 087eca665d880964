"""Word alignment, wired: sentence pairs in, Pharaoh lines or scores out."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from amber_jax.config import alignment_problems, word_alignment_problems
from amber_jax.corpora.text import LINE_CAP_BYTES
from amber_jax.errors import UserError
from amber_jax.line_files import appearing, lines_of
from amber_jax.loading import LoadedModel, load_model
from amber_jax.ranges import refuse
from amber_jax.tasks.examples import AlignedPair
from amber_jax.tasks.scores import alignment_scores
from amber_jax.tasks.word_alignment_files import (
    format_pharaoh,
    read_pharaoh,
    read_xl_wa,
)
from amber_jax.tasks.word_links import (
    Alignment,
    WordPair,
    build_word_aligner,
    diagonal_links,
)

METRICS = ("precision", "recall", "f1", "aer")
_WINDOW = 4096  # lines in memory together

Note = Callable[[str], None]


def align_file(
    checkpoint: Path, source: str, output: str, alignment: Alignment, *, note: Note
) -> None:
    r"""Writes the links of every line of a file, as `i-j` items from 0, in its order.

    Lines are `source<TAB>target` or `source ||| target`, plain, .gz, .bz2 or .xz;
    words are what stands between spaces. A line that cannot be used gives an empty
    line and is counted.

        The house .\tLa maison .     ->     0-0 1-1 2-2

    Args:
        checkpoint: a run's workdir or one of its checkpoint folders.
        source: path of the file, or `line_files.STANDARD`.
        output: path of the file to write, or the same; it appears when complete.
        alignment: how words are aligned.
        note: called with sentences worth telling.

    Raises:
        UserError: the model, an option or a file cannot be used.
    """
    model = load_model(checkpoint, note=note)
    options = {**alignment._asdict(), "num_layers": model.config.num_layers}
    refuse("word alignment", alignment_problems(**options))
    align = build_word_aligner(model.config, model.tokenizer, alignment)
    rejects: dict[str, int] = {}
    lines = cut = unspaced = 0
    with appearing(output) as file:
        for window in _windows(map(split_line, lines_of(source))):
            found = align(model.params, [pair for pair, _ in window])
            for links in found.links:
                file.write(f"{format_pharaoh(links)}\n".encode("ascii"))
            for reason in (reason for _, reason in window if reason):
                rejects[reason] = rejects.get(reason, 0) + 1
            lines += len(window)
            cut, unspaced = cut + found.cut, unspaced + found.unspaced
    unusable = ", ".join(f"{count:,} {reason}" for reason, count in rejects.items())
    note(f"{lines:,} lines; left empty as unusable: {unusable or 'none'}")
    for sentence in oddities(cut, unspaced, model.config.max_positions):
        note(sentence)


def split_line(raw: bytes) -> tuple[WordPair, str | None]:
    r"""Returns ((source words, target words), None), or ((), ()) and a reason.

        b"The house .\tLa  maison .\r"    (("The", "house", "."), ("La", "maison", "."))
        b"The house ||| La maison"        the same with another separator
        b"The house ."                    "field_count": not two sides
        b"The house .\t"                  "empty_side"
        b"caf\xe9\tcafe"                  "not_utf8"

    Only a space (U+0020) ends a word: the places of words are then those that other
    tools count, whatever else of Unicode's white space stands in them.
    """
    nothing: WordPair = ((), ())
    if len(raw) > LINE_CAP_BYTES:
        return nothing, "too_long"
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff").removesuffix("\r")
    except UnicodeDecodeError:
        return nothing, "not_utf8"
    fields = text.split("\t" if "\t" in text else "|||")
    sides = [tuple(filter(None, field.split(" "))) for field in fields]
    if len(sides) != 2:
        return nothing, "field_count"
    if not all(sides):
        return nothing, "empty_side"
    return (sides[0], sides[1]), None


def _windows(
    lines: Iterable[tuple[WordPair, str | None]],
) -> Iterator[list[tuple[WordPair, str | None]]]:
    remaining = iter(lines)
    while window := list(itertools.islice(remaining, _WINDOW)):
        yield window


def oddities(cut: int, unspaced: int, max_positions: int) -> Iterator[str]:
    """Yields the counts of a `WordLinks` as sentences, none for nothing."""
    if cut:
        yield (
            f"{cut:,} pairs are longer than the model's {max_positions} positions and "
            "were cut; words beyond have no link"
        )
    if unspaced:
        yield (
            f"{unspaced:,} pairs have a side that is one very long word; text of a "
            "language written without spaces has to be split by spaces first"
        )


def word_alignment_result(
    config: ConfigDict, model: LoadedModel, *, note: Note
) -> dict[str, Any]:
    """Returns the scores of a model against gold alignments, as results.json has them.

    Args:
        config: as `config.word_alignment_evaluation` makes it.
        model: a loaded model.
        note: called with sentences worth telling.

    Raises:
        UserError: a setting is wrong, or the gold files cannot be read.
    """
    refuse("word alignment", word_alignment_problems(config, model.config.num_layers))
    gold = _read_gold(config)
    how = Alignment(*(config[name] for name in Alignment._fields))
    align = build_word_aligner(model.config, model.tokenizer, how)
    scores, baselines = {}, {}
    for language, pairs in gold.items():
        found = align(model.params, [(pair.src, pair.tgt) for pair in pairs])
        scores[language] = alignment_scores(pairs, found.links)
        guess = [diagonal_links(pair.src, pair.tgt) for pair in pairs]
        baselines[language] = {"diagonal": alignment_scores(pairs, guess)["aer"]}
        for sentence in oddities(found.cut, found.unspaced, model.config.max_positions):
            note(f"{language}: {sentence}")
    return {
        "task": config.task,
        "name": config.name or Path(config.data).resolve().name,
        "model": config.label or str(model.checkpoint.path),
        "checkpoint": str(model.checkpoint.path),
        "step": 0 if config.untrained else model.checkpoint.step,
        **how._asdict(),
        "layer": model.config.num_layers if how.layer == -1 else how.layer,
        "examples": {language: len(pairs) for language, pairs in gold.items()},
        "scores": scores,
        "average": {
            metric: _mean([of[metric] for of in scores.values()]) for metric in METRICS
        },
        "baselines": baselines,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _read_gold(config: ConfigDict) -> dict[str, list[AlignedPair]]:
    """Returns the aligned pairs of each language."""
    folder = Path(config.data)
    languages = tuple(config.languages) or _languages_at(folder, config.test)
    if not languages:
        raise UserError(
            f"{folder} has no file {config.test}; set --config.data to the folder "
            "of the gold alignments, and --config.test to their place in it"
        )
    return {language: _read_language(config, language) for language in languages}


def _read_language(config: ConfigDict, language: str) -> list[AlignedPair]:
    text, gold = (
        Path(config.data) / pattern.replace("{language}", language)
        for pattern in (config.test, config.gold)
    )
    if config.gold:
        return read_pharaoh(text, gold, first_index=config.first_index)
    return read_xl_wa(text, first_index=config.first_index)


def _languages_at(folder: Path, pattern: str) -> tuple[str, ...]:
    before, after = map(re.escape, pattern.split("{language}", 1))
    # A second {language} of the pattern stands for the same one.
    after = after.replace(re.escape("{language}"), "(?P=language)")
    wanted = re.compile(f"{before}(?P<language>[^/]+){after}")
    files = folder.glob(pattern.replace("{language}", "*"))
    names = (wanted.fullmatch(file.relative_to(folder).as_posix()) for file in files)
    return tuple(sorted(name["language"] for name in names if name))


def as_table(result: Mapping[str, Any]) -> str:
    """Returns the scores of a word-alignment result as lines of text, in percent."""
    layer = f"of layer {result['layer']}"
    lines = [
        f"{result['name']}: {result['model']}, step {result['step']}; "
        f"{result['method']} {layer}, {result['symmetrisation']}, "
        f"threshold {result['threshold']:g}",
        f"{'language':<10}{'pairs':>8}"
        + "".join(f"{metric:>11}" for metric in METRICS)
        + f"{'diagonal aer':>15}",
    ]
    rows = {
        language: (
            f"{result['examples'][language]:,}",
            score,
            result["baselines"][language]["diagonal"],
        )
        for language, score in result["scores"].items()
    }
    diagonal = _mean([one["diagonal"] for one in result["baselines"].values()])
    rows["average"] = ("", result["average"], diagonal)
    for name, (pairs, score, baseline) in rows.items():
        shares = "".join(f"{100 * score[metric]:>10.1f}%" for metric in METRICS)
        lines.append(f"{name:<10}{pairs:>8}{shares}{100 * baseline:>14.1f}%")
    return "\n".join(lines)
