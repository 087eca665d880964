"""Text in, tokenized shards and a manifest out.

amber build_corpus --config=corpus_sample.py --config.tokenizer=DIR --output=DIR

A build that was killed goes on where it stopped. With --task_index and --num_tasks it
processes one share of the text, as in an array of jobs; --merge puts them together.
Where duplicates are searched for, tasks and --merge are called twice.
"""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict

from amber_jax.commands.command_line import require_keys
from amber_jax.commands.config_flag import define_config
from amber_jax.errors import UserError
from amber_jax.storage import location

if TYPE_CHECKING:
    from amber_jax.corpora.recipe import Recipe

_CONFIG = define_config("what to build from")
_OUTPUT = flags.DEFINE_string("output", None, "corpus folder to create", required=True)
_TASK_INDEX = flags.DEFINE_integer(
    "task_index", None, "processes this share only, 0 to num_tasks - 1"
)
_NUM_TASKS = flags.DEFINE_integer("num_tasks", None, "shares that the text is cut into")
_MERGE = flags.DEFINE_bool(
    "merge", False, "puts the shares of --num_tasks finished tasks together"
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "tells from the beginning of each source what to expect"
)
_BEAM = flags.DEFINE_string(
    "beam",
    "",
    "works by Apache Beam, with these options of a pipeline, as in "
    "'--runner=FlinkRunner --parallelism=64'",
)
_CORES = (16, 64)  # that hours are told for
_ANY_WIDTH = 1000  # characters; a narrow terminal folds lines, it loses none


def main(_: list[str]) -> None:
    tasks = _tasks()
    # Every worker keeps one core busy; a tokenizer's own threads would only crowd it.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    recipe, output = _recipe(_CONFIG.value), location(_OUTPUT.value)
    if _DRY_RUN.value:
        _tell(recipe)
    elif _TASK_INDEX.value is None:
        _build(recipe, output, tasks)
    else:
        _process(recipe, output, _TASK_INDEX.value, tasks)


def _tell(recipe: "Recipe") -> None:
    from rich.console import Console

    from amber_jax.corpora.dry_run import dry_run
    from amber_jax.corpora.summary import outlook, progress

    with progress() as report:
        estimate = dry_run(recipe, processes=_CONFIG.value.processes, report=report)
    cores = sorted({1, os.cpu_count() or 1, *_CORES})
    Console(width=_ANY_WIDTH, soft_wrap=True).print(outlook(estimate, cores))


def _build(recipe: "Recipe", output: Path, tasks: int) -> None:
    from rich.console import Console

    from amber_jax.corpora.accounts import read_inputs
    from amber_jax.corpora.build import build_corpus
    from amber_jax.corpora.shares import compare_shares
    from amber_jax.corpora.summary import progress, summary

    if tasks:
        processes = _CONFIG.value.processes
        with progress() as report:
            decisions = compare_shares(
                recipe,
                output,
                tasks,
                processes=processes,
                report=report,
                beam=_beam_options(),
            )
        if decisions:
            print(f"written: {decisions}; run all tasks again, then --merge again")
            return
    with progress() as report:
        manifest, built = build_corpus(
            recipe,
            output,
            processes=_CONFIG.value.processes,
            report=report,
            tasks=tasks,
            beam=_beam_options(),
        )
    console = Console(width=_ANY_WIDTH, soft_wrap=True)
    left_files = _left_files(_CONFIG.value)
    console.print(summary(manifest, read_inputs(output), left_files))
    _write_card(output)
    console.print(f"{'written' if built else 'kept, it is finished'}: {output}")


def _write_card(corpus: Path) -> None:
    """Writes the data card, unless what pages are made with is not installed."""
    from importlib.util import find_spec

    if find_spec("jinja2") and find_spec("matplotlib"):
        from amber_jax.report.data_card import write_data_card

        write_data_card(corpus)


def _process(recipe: "Recipe", output: Path, task: int, tasks: int) -> None:
    from amber_jax.corpora.shares import process_share
    from amber_jax.corpora.summary import progress
    from amber_jax.corpora.work import SIGNED, Share

    with progress() as report:
        folder, done = process_share(
            recipe,
            output,
            Share(task, tasks),
            processes=_CONFIG.value.processes,
            report=report,
        )
    print(f"{'written' if done else 'kept, it is finished'}: {folder}")
    if folder == Share(task, tasks).folder(output, SIGNED):
        print(
            f"its texts are signed; when those of all {tasks} tasks are, --merge "
            "compares them, and then each task runs again"
        )


def _beam_options() -> list[str]:
    try:
        return shlex.split(_BEAM.value)
    except ValueError as error:
        raise UserError(
            f"--beam={_BEAM.value}: {error}; quote its options as a shell wants them"
        ) from error


def _tasks() -> int:
    """Returns how many tasks share the work; 0: this process does all of it."""
    task, count = _TASK_INDEX.value, _NUM_TASKS.value
    if _DRY_RUN.value and _BEAM.value:
        raise UserError("--dry_run works in this process; leave --beam out")
    if task is None and not _MERGE.value:
        if count is not None:
            raise UserError(
                "--num_tasks alone does nothing; wanted --task_index=NUMBER as well, "
                "or --merge when all tasks have finished"
            )
        return 0
    if count is None or count < 1:
        raise UserError(f"--num_tasks is {count}; wanted the number of tasks, from 1")
    if task is not None and _BEAM.value:
        raise UserError("--task_index and --beam are two ways; leave one of them out")
    if task is not None and _MERGE.value:
        raise UserError("--merge comes after all tasks; leave --task_index out")
    if task is not None and not 0 <= task < count:
        raise UserError(f"--task_index is {task}; wanted 0 to {count - 1}")
    return count


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
        tokenizer=location(config.tokenizer),
        options=build_options(config),
        licenses=tuple(config.licenses) if "licenses" in config else (),
    )
