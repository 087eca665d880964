"""What each input gives, what streams to expect of it, and why one gets no text."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from amber_jax.corpora.plain import read_slice
from amber_jax.corpora.planning import Input
from amber_jax.corpora.sources import TextSource, source_files, source_name
from amber_jax.corpora.unit_rows import BuildOptions, Part
from amber_jax.corpora.units import SAMPLED_SHARE, StreamKey
from amber_jax.errors import UserError
from amber_jax.files import read_json, write_json

INPUTS = "inputs.json"
HELD_OUT = "held out"  # the kind of inputs whose sentences are kept out
_MOST_CODES = 10  # language codes in a message


@dataclass
class Tally:
    """What some input adds to one stream."""

    inputs: int = 0  # lines or pairs read, rejected ones included
    rejects: Counter[str] = field(default_factory=Counter)
    pairs: int = 0
    tokens: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.inputs + other.inputs,
            self.rejects + other.rejects,
            self.pairs + other.pairs,
            self.tokens + other.tokens,
        )


Tallies = Mapping[StreamKey, Tally]


@dataclass(frozen=True)
class InputFacts:
    """What one input of a corpus gave."""

    files: list[str]  # as `file_names` calls them
    kind: str  # text, moses, tsv, manyway, tmx or held out
    streams: list[str]  # "fr" of running text, "en-fr" of pairs
    lines: int  # of each file, below a header; what was left out; held-out sentences
    kept: int  # lines of running text, pairs, held-out sentences
    rejects: dict[str, int] = field(default_factory=dict)
    unknown_entities: int = 0
    left_files: list[str] = field(default_factory=list)  # of an archive, not read
    examples: dict[str, str] = field(default_factory=dict)  # a line of each reason
    license: str = ""  # as stated; empty: not


def tally(part: Part, row_length: int) -> Tally:
    """Returns the counts of a part whose rows have `row_length` tokens."""
    spans = np.concatenate([part.rows, part.left])[:, row_length:]
    pairs = int((spans[:, ::2] > 0).sum())
    return Tally(part.inputs, part.rejects, pairs, int(spans.sum()))


def summed(tallies: Iterable[Tallies]) -> dict[StreamKey, Tally]:
    """Returns the sum of each stream's tallies."""
    total: dict[StreamKey, Tally] = {}
    for of_streams in tallies:
        for key, counts in of_streams.items():
            total[key] = total.get(key, Tally()) + counts
    return total


def all_rejects(tallies: Tallies) -> Counter[str]:
    """Returns how many lines and pairs of all streams are rejected, by reason."""
    return sum((counts.rejects for counts in tallies.values()), Counter())


def left_out(source: Input) -> dict[StreamKey, Tally]:
    """Returns what the conversion of an input left out, of its first stream."""
    reasons = source.conversion.left_out
    count = reasons.total()
    return {source.streams[0]: Tally(count, Counter(reasons))} if count else {}


def expected_rows(
    inputs: Sequence[Input], samples: Sequence[Tallies], options: BuildOptions
) -> dict[StreamKey, int]:
    """Returns about how many rows each stream gets.

    Args:
        inputs: all inputs of a corpus.
        samples: what the sampled lines of each add to each stream.
        options: the shape of a row.
    """
    rows: Counter[StreamKey] = Counter()
    for source, of_streams in zip(inputs, samples, strict=True):
        for key in source.streams:
            counts = of_streams.get(key, Tally())
            filled = max(
                counts.tokens / options.row_length, counts.pairs / options.max_pairs
            )
            rows[key] += filled / source.sampled_share
    return {key: int(np.ceil(count)) for key, count in sorted(rows.items())}


def expectation(rows: Mapping[StreamKey, int], rows_per_shard: int) -> str:
    """Returns `expected_rows` for the terminal, one line for each kind of stream."""
    lines = [
        f"{kind} rows to expect, from {1 / SAMPLED_SHARE:.0%} of each input: "
        + ", ".join(f"{name} {count:,}" for (_, name), count in of_kind)
        for kind, of_kind in itertools.groupby(rows.items(), lambda item: item[0][0])
    ]
    if any(count < rows_per_shard for count in rows.values()):
        lines.append(f"below {rows_per_shard:,} rows a stream has one short shard")
    return "\n".join(lines)


def without_text(
    inputs: Sequence[Input], tallies: Sequence[Tallies]
) -> list[StreamKey]:
    """Returns the streams of the inputs of which the tallies hold no token."""
    total = summed(tallies)
    keys = {key for source in inputs for key in source.streams}
    return sorted(key for key in keys if not total.get(key, Tally()).tokens)


def no_text_error(
    missing: Sequence[StreamKey], inputs: Sequence[Input], tallies: Sequence[Tallies]
) -> UserError:
    """Returns the error that names each stream without text, its inputs and why."""
    streams = [
        f"{kind} {name} ({'; '.join(_reasons((kind, name), inputs, tallies))})"
        for kind, name in missing
    ]
    return UserError(
        f"no usable text for {', '.join(streams)}; correct these inputs or leave the "
        "languages out"
    )


def input_facts(
    source: Input,
    tallies: Tallies,
    examples: Mapping[str, str],
    names: Mapping[Path, str],
) -> InputFacts:
    """Returns what an input gave; pairs whose sides are also text count once.

    Args:
        source: the input.
        tallies: of its units, summed.
        examples: of its rejected lines, by reason.
        names: what its files are called, see `file_names`.
    """
    own = "mono" if isinstance(source.source, TextSource) else "pair"
    total = sum((t for (kind, _), t in tallies.items() if kind == own), Tally())
    return InputFacts(
        files=[names[path] for path in source_files(source.source)],
        kind=type(source.source).__name__.removesuffix("Source").lower(),
        streams=[name for kind, name in source.streams if kind == own],
        lines=source.lines,
        kept=total.inputs - total.rejects.total(),
        rejects=dict(sorted(total.rejects.items())),
        unknown_entities=source.conversion.unknown_entities,
        left_files=source.conversion.left_files,
        examples=dict(sorted(examples.items())),
    )


def held_out_facts(name: str, sentences: int) -> InputFacts:
    """Returns what a file of evaluation sentences gave."""
    return InputFacts([name], HELD_OUT, [], lines=sentences, kept=sentences)


def file_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Returns what each file is called: its name, and as many folders as tell it apart.

    wiki/fr.txt, books/fr.txt, de.txt    "wiki/fr.txt", "books/fr.txt", "de.txt"
    """
    names: dict[Path, str] = {}
    alike, depth = {*paths}, 0
    while alike:
        depth += 1
        names |= {path: "/".join(path.parts[-depth:]) for path in alike}
        uses = Counter(names.values())
        alike = {path for path in alike if uses[names[path]] > 1}
    return names


def write_inputs(directory: Path, inputs: Sequence[InputFacts]) -> None:
    """Writes what the inputs gave beside the manifest, which does not depend on it."""
    write_json(directory / INPUTS, [asdict(facts) for facts in inputs])


def read_inputs(directory: Path) -> list[InputFacts]:
    """Returns what the inputs of a corpus gave; [] for one built before this was kept.

    Raises:
        UserError: the file is damaged.
    """
    path = directory / INPUTS
    if not path.exists():
        return []
    advice = "it only tells what the inputs gave, remove it"
    try:
        return [_checked(InputFacts(**facts)) for facts in read_json(path, advice)]
    except (TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error}); {advice}") from error


def listed(rejects: Mapping[str, int]) -> str:
    """Returns "empty 1, too_long 2"."""
    return ", ".join(f"{reason} {count:,}" for reason, count in rejects.items())


def _checked(facts: InputFacts) -> InputFacts:
    counts = (facts.lines, facts.kept, facts.unknown_entities, *facts.rejects.values())
    names = (facts.kind, facts.license, *facts.files, *facts.streams, *facts.left_files)
    names += tuple(facts.examples.values())
    if {*map(type, counts)} != {int} or {*map(type, names)} != {str}:
        raise TypeError("a count or name is of a wrong type")
    return facts


def _reasons(
    key: StreamKey, inputs: Sequence[Input], tallies: Sequence[Tallies]
) -> list[str]:
    return [
        f"{source_name(source.source)}: {_reason(source, of_streams.get(key, Tally()))}"
        for source, of_streams in zip(inputs, tallies, strict=True)
        if key in source.streams
    ]


def _reason(source: Input, counts: Tally) -> str:
    if not source.lines:
        return "it is empty"
    if not counts.inputs:
        return "none of its pairs is kept"
    rejects = listed(dict(sorted(counts.rejects.items())))
    reason = f"{rejects} of {counts.inputs:,}"
    unit = source.units[0]
    if counts.rejects["field_count"] and unit.slices[0].path.exists():
        columns = next(read_slice(unit.slices[0]), b"").count(b"\t") + 1
        reason += f", columns {columns} instead of {len(unit.columns)}"
    codes = sorted(source.conversion.languages)
    if codes and counts.rejects["empty_side"]:
        more = ", ..." if len(codes) > _MOST_CODES else ""
        reason += f", languages {', '.join(codes[:_MOST_CODES])}{more}"
    return reason
