"""Text in, tokenised shards and a manifest out.

python launch/build_corpus.py --config=configs/corpus_sample.py \
    --config.tokenizer=DIR --output=DIR
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags
from rich.console import Console

from amber_jax.commands import command_line
from amber_jax.corpora.accounts import read_inputs
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.recipe import BUILD_RANGES, Recipe
from amber_jax.corpora.summary import progress, summary
from amber_jax.corpora.units import BuildOptions
from amber_jax.errors import UserError

CONFIG = config_flags.DEFINE_config_file("config", None, "What to build from.")
OUTPUT = flags.DEFINE_string("output", None, "Corpus folder to create.", required=True)
ANY_WIDTH = 1000  # characters; a narrow terminal folds lines, it loses none


def main(argv: Sequence[str]) -> None:
    del argv
    # Every worker keeps one core busy; a tokenizer's own threads would only crowd it.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with progress() as report:
        manifest, built = build_corpus(
            recipe(CONFIG.value),
            Path(OUTPUT.value),
            processes=CONFIG.value.processes,
            report=report,
        )
    console = Console(width=ANY_WIDTH, soft_wrap=True)
    console.print(summary(manifest, read_inputs(Path(OUTPUT.value))))
    console.print(f"{'written' if built else 'kept, it is finished'}: {OUTPUT.value}")


def recipe(config: ConfigDict) -> Recipe:
    if config is not None:
        inputs = ("sources", "evaluation_files", "tokenizer")
        command_line.require_keys(config, (*inputs, *BUILD_RANGES))
    if config is None or config.tokenizer is None:
        raise UserError(
            "no tokenizer or no config given; wanted --config=configs/corpus_sample.py "
            "--config.tokenizer=DIR with a folder of launch/train_tokenizer.py"
        )
    names = [option.name for option in dataclasses.fields(BuildOptions)]
    return Recipe(
        sources=config.sources,
        evaluation_files=config.evaluation_files,
        tokenizer=Path(config.tokenizer),
        options=BuildOptions(**{name: config[name] for name in names}),
    )


if __name__ == "__main__":
    command_line.run(main)
