"""A corpus in shares: tasks anywhere process their units, and a merge gathers them.

If texts are compared, to find duplicates, there are two rounds: tasks sign their units,
and what occurs again is decided once for all (`compare_shares`); then they process
them. Each round leaves a folder for each task beside the corpus.
"""

import shutil
from pathlib import Path

from amber_jax.corpora.duplicates import compare_units, remove_keys, sign_units
from amber_jax.corpora.engine import Build, Note, begin_build, plan, process_units
from amber_jax.corpora.planning import own_units
from amber_jax.corpora.processes import Report, mapper
from amber_jax.corpora.recipe import Recipe, checked_recipe
from amber_jax.corpora.work import (
    SIGNED,
    TASK,
    Share,
    check_task,
    open_work,
    task_facts,
    task_folders,
)
from amber_jax.files import PROGRESS, publish, workplace, write_json
from amber_jax.storage import local_copy


def process_share(
    recipe: Recipe,
    output: Path,
    share: Share,
    *,
    processes: int,
    report: Report,
    note: Note = print,
) -> tuple[Path, bool]:
    """Does one task's share of the round that is due.

    `build_corpus` with `tasks=share.count` puts all shares together, on any machine
    that sees their folders. A task that was killed goes on where it stopped.

    Args:
        recipe: as of `build_corpus`, as are all others.
        output: of the corpus; the task's folder appears beside it.
        share: which task of how many.
        processes: workers.
        report: called as work proceeds.
        note: called with whether earlier work goes on.

    Returns:
        (folder, done): `done` is False if the task had finished already.

    Raises:
        UserError: as `build_corpus`.
    """
    tokenizer, recipe_id = checked_recipe(recipe, processes)
    decisions = _decisions(recipe, output, recipe_id)
    signs = recipe.options.cleaning.compares_texts and decisions is None
    folder = share.folder(output, SIGNED) if signs else share.folder(output)
    if folder.exists():
        check_task(folder, recipe_id)
        return folder, False
    with (
        workplace(folder, resumed=f"*{PROGRESS}") as place,
        mapper(processes) as run,
    ):
        work = open_work(place, recipe_id, note)
        build = begin_build(
            recipe, tokenizer, work, run, report, note, duplicates=decisions
        )
        finished = _sign(build, share) if signs else _process(build, share)
        write_json(finished / TASK, task_facts(recipe_id))
        publish(finished, folder)
    return folder, True


def compare_shares(
    recipe: Recipe, output: Path, tasks: int, *, processes: int, report: Report
) -> Path | None:
    """Decides what occurs again by what all tasks have signed.

    Args:
        recipe: of the tasks.
        output: of the corpus.
        tasks: how many they are.
        processes: workers.
        report: called as work proceeds.

    Returns:
        The folder of the decisions, which the tasks wait for; None if there is nothing
        to decide: no texts are compared, all is decided, or the corpus is there.

    Raises:
        UserError: a task has not finished, or was of another recipe.
    """
    _, recipe_id = checked_recipe(recipe, processes)
    cleaning = recipe.options.cleaning
    if not cleaning.compares_texts or output.exists():
        return None
    if _decisions(recipe, output, recipe_id):
        return None
    decisions = _decisions_folder(output)
    folders = task_folders(output, tasks, recipe_id, SIGNED)
    with workplace(decisions) as place, mapper(processes) as run:
        directory = place / "duplicates"
        for folder in folders:
            shutil.copytree(
                folder,
                directory,
                ignore=shutil.ignore_patterns(TASK),
                dirs_exist_ok=True,
            )
        compare_units(directory, cleaning, mapper=run, report=report)
        remove_keys(directory)
        write_json(directory / TASK, task_facts(recipe_id))
        publish(directory, decisions)
    return decisions


def _sign(build: Build, share: Share) -> Path:
    units = own_units(plan(build, share), share)
    folder = build.duplicates
    sign_units(units, build.screening, folder, mapper=build.run, report=build.report)
    return folder


def _process(build: Build, share: Share) -> Path:
    process_units(build, plan(build, share), share)
    return build.work.directory


def _decisions_folder(output: Path) -> Path:
    return output.with_name(f"{output.name}.duplicates")


def _decisions(recipe: Recipe, output: Path, recipe_id: str) -> Path | None:
    """Returns the decisions, if texts are compared and they have been."""
    folder = _decisions_folder(output)
    if not recipe.options.cleaning.compares_texts or not (folder / TASK).is_file():
        return None
    check_task(folder, recipe_id)
    return local_copy(folder)
