"""Everything that decides the bytes of a corpus, checked and fingerprinted."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from amber_jax.corpora.cleaning.identification import IDENTIFICATION
from amber_jax.corpora.cleaning.libraries import require_libraries
from amber_jax.corpora.cleaning.options import CLEANING_RANGES, Cleaning
from amber_jax.corpora.records import FORMAT
from amber_jax.corpora.sampling import ALPHA
from amber_jax.corpora.sources import Source, source_files
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.errors import UserError
from amber_jax.files import file_digest, fingerprint
from amber_jax.ranges import problems, real, refuse, whole
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer

BUILD_RANGES = {
    "row_length": whole(5, 2**20),  # a token and three special ones, and another
    "max_pairs": whole(1, 2**16),
    "rows_per_shard": whole(1),
    "alpha": ALPHA,
    "max_side_tokens": whole(1, 2**20),
    "cut_long_sides": bool,
    "max_length_ratio": real(1, 1e9),
    "max_line_bytes": whole(1),
    "unit_bytes": whole(1, 2**40),
    "parallel_as_text": bool,
    "cleaning": CLEANING_RANGES,
    "split_sentences": bool,
    "processes": whole(0, 1024),
}
# What a config must have; the others have a default, which changes nothing.
REQUIRED = (
    "processes",
    *(
        option.name
        for option in dataclasses.fields(BuildOptions)
        if option.default is dataclasses.MISSING
    ),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the bytes of a corpus, and what it tells of its text."""

    sources: tuple[Source, ...]
    evaluation_files: tuple[Path, ...]  # their sentences are kept out
    tokenizer: Path  # anything `load_tokenizer` takes
    options: BuildOptions
    licenses: tuple[tuple[str, str], ...] = ()  # (pattern of a path, license); told


def recipe_fingerprint(recipe: Recipe, tokenizer_fingerprint: str) -> str:
    """Returns the sha256 of options, tokenizer and the content of every input.

    Folders do not count, file names and contents do.
    """
    facts = {
        "format": FORMAT,
        "tokenizer": tokenizer_fingerprint,
        "options": dict(_chosen(recipe.options)),
        "evaluation_files": [_named_digest(p) for p in recipe.evaluation_files],
        "sources": [_source_facts(source) for source in recipe.sources],
    }
    if recipe.options.cleaning.language_threshold < 1:
        facts["identification"] = IDENTIFICATION
    return fingerprint(facts)


def checked_recipe(recipe: Recipe, processes: int) -> tuple[Tokenizer, str]:
    """Returns the tokenizer and the fingerprint of a recipe that can be built.

    Raises:
        UserError: it cannot, or a library that it needs is not installed.
    """
    check_options(recipe.options, processes)
    check_sources(recipe.sources)
    require_libraries(recipe.options.cleaning)
    tokenizer = load_tokenizer(recipe.tokenizer)
    check_options(recipe.options, processes, tokenizer.special.separators)
    return tokenizer, recipe_fingerprint(recipe, tokenizer.fingerprint)


def build_options(settings: Mapping[str, Any]) -> BuildOptions:
    """Returns the options in a config that has those of `REQUIRED`.

    Raises:
        UserError: there is no such way of cleaning.
    """
    names = [option.name for option in dataclasses.fields(BuildOptions)]
    chosen = {name: settings[name] for name in names if name in settings}
    cleaning = dict(chosen.pop("cleaning", {}))
    unknown = sorted(cleaning.keys() - CLEANING_RANGES.keys())
    refuse("config", [f"there is no cleaning.{name}" for name in unknown])
    return BuildOptions(**chosen, cleaning=Cleaning(**cleaning))


def check_sources(sources: Sequence[Source]) -> None:
    """Raises a `UserError` if there is nothing to build from."""
    if not sources:
        raise UserError("the config names no sources; wanted one input at least")


def check_options(options: BuildOptions, processes: int, separators: int = 1) -> None:
    """Raises a `UserError` with all options that are out of range.

    Args:
        options: of the corpus.
        processes: workers.
        separators: those between the sides of a pair.
    """
    numbers = {**dataclasses.asdict(options), "processes": processes}
    out_of_range = list(problems(numbers, BUILD_RANGES))
    refuse("config", out_of_range or _conflicts(options, 2 + separators))


def _conflicts(options: BuildOptions, special: int) -> Iterator[str]:
    """Yields what does not fit a row; a pair has `special` special tokens."""
    longest = options.row_length - special - 1
    if options.max_side_tokens > longest:
        yield (
            f"max_side_tokens is {options.max_side_tokens}, but must lie between 1 "
            f"and row_length - {special + 1} = {longest}"
        )
    elif (
        options.cut_long_sides
        and 2 * options.max_side_tokens + special > options.row_length
    ):
        yield (
            f"cut_long_sides is true, but two sides of max_side_tokens = "
            f"{options.max_side_tokens} do not fit into a row of "
            f"{options.row_length}; it must be at most "
            f"{(options.row_length - special) // 2}"
        )


def _chosen(options: Any) -> Iterator[tuple[str, Any]]:
    """Yields the options that have no default, and those that are not at theirs."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            is_group = dataclasses.is_dataclass(value)
            yield field.name, dict(_chosen(value)) if is_group else value


def _source_facts(source: Source) -> dict[str, Any]:
    facts = {
        name: value
        for name, value in vars(source).items()
        if not isinstance(value, PurePath)
    }
    files = [_named_digest(path) for path in source_files(source)]
    return {"type": type(source).__name__, "files": files, **facts}


def _named_digest(path: Path) -> tuple[str, str]:
    try:
        return path.name, file_digest(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); correct the path in the config"
        ) from error
