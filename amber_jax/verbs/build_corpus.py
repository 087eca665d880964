"""Text in, tokenized shards and a manifest out.

amber build_corpus --config=corpus_sample.py --config.tokenizer=DIR --output=DIR
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict

from amber_jax.commands.command_line import require_keys
from amber_jax.commands.config_flag import define_config
from amber_jax.errors import UserError

if TYPE_CHECKING:
    from amber_jax.corpora.recipe import Recipe

_CONFIG = define_config("what to build from")
_OUTPUT = flags.DEFINE_string("output", None, "corpus folder to create", required=True)
_ANY_WIDTH = 1000  # characters; a narrow terminal folds lines, it loses none


def main(_: list[str]) -> None:
    from rich.console import Console

    from amber_jax.corpora.accounts import read_inputs
    from amber_jax.corpora.build import build_corpus
    from amber_jax.corpora.summary import progress, summary

    # Every worker keeps one core busy; a tokenizer's own threads would only crowd it.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with progress() as report:
        manifest, built = build_corpus(
            _recipe(_CONFIG.value),
            Path(_OUTPUT.value),
            processes=_CONFIG.value.processes,
            report=report,
        )
    console = Console(width=_ANY_WIDTH, soft_wrap=True)
    inputs = read_inputs(Path(_OUTPUT.value))
    console.print(summary(manifest, inputs, _left_files(_CONFIG.value)))
    console.print(f"{'written' if built else 'kept, it is finished'}: {_OUTPUT.value}")


def _left_files(config: ConfigDict) -> list[str]:
    """Returns what a config names as no text, as those of folders do."""
    return [path.name for path in config.left_files] if "left_files" in config else []


def _recipe(config: ConfigDict | None) -> "Recipe":
    from amber_jax.corpora.recipe import REQUIRED, Recipe, build_options

    if config is not None:
        inputs = ("sources", "evaluation_files", "tokenizer")
        require_keys(config, (*inputs, *REQUIRED))
    if config is None or config.tokenizer is None:
        raise UserError(
            "no tokenizer or no config given; wanted --config=corpus_sample.py "
            "--config.tokenizer=DIR with a folder of amber train_tokenizer"
        )
    return Recipe(
        sources=config.sources,
        evaluation_files=config.evaluation_files,
        tokenizer=Path(config.tokenizer),
        options=build_options(config),
    )
