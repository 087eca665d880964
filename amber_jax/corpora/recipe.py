"""Everything that decides the bytes of a corpus, checked and fingerprinted."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amber_jax.corpora.records import FORMAT
from amber_jax.corpora.sources import Source, source_files
from amber_jax.corpora.units import BuildOptions
from amber_jax.errors import UserError
from amber_jax.files import file_digest, fingerprint


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the bytes of a corpus."""

    sources: tuple[Source, ...]
    evaluation_files: tuple[Path, ...]  # their sentences are kept out
    tokenizer: Path  # anything `load_tokenizer` takes
    options: BuildOptions


def recipe_fingerprint(recipe: Recipe, tokenizer_fingerprint: str) -> str:
    """Returns the sha256 of options, tokenizer and the content of every input.

    Folders do not count, file names and contents do.
    """
    facts = {
        "format": FORMAT,
        "tokenizer": tokenizer_fingerprint,
        "options": dataclasses.asdict(recipe.options),
        "evaluation_files": [_named_digest(p) for p in recipe.evaluation_files],
        "sources": [_source_facts(source) for source in recipe.sources],
    }
    return fingerprint(facts)


def check_sources(sources: Sequence[Source]) -> None:
    """Raises a `UserError` if there is nothing to build from."""
    if not sources:
        raise UserError("the config names no sources; wanted one input at least")


def check_options(options: BuildOptions) -> None:
    """Raises a `UserError` for the first option that is out of range."""
    if not 0 < options.max_side_tokens <= options.row_length - 4:
        raise UserError(
            f"max_side_tokens is {options.max_side_tokens}, but must lie between 1 "
            f"and row_length - 4 = {options.row_length - 4}; correct the config"
        )
    if options.cut_long_sides and 2 * options.max_side_tokens + 3 > options.row_length:
        raise UserError(
            f"cut_long_sides is true, but two sides of max_side_tokens = "
            f"{options.max_side_tokens} do not fit into a row of "
            f"{options.row_length}; it must be at most {(options.row_length - 3) // 2}"
        )
    for name in ("max_pairs", "rows_per_shard", "max_line_bytes", "unit_bytes"):
        if getattr(options, name) < 1:
            raise UserError(f"{name} is {getattr(options, name)}, but must be positive")
    if options.max_length_ratio < 1 or options.alpha < 0:
        raise UserError(
            f"max_length_ratio is {options.max_length_ratio} and alpha is "
            f"{options.alpha}, but must be at least 1 and 0; correct the config"
        )


def _source_facts(source: Source) -> dict[str, Any]:
    facts = {
        name: value
        for name, value in vars(source).items()
        if not isinstance(value, Path)
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
