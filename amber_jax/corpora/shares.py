"""A corpus in shares: tasks anywhere process their units, and a merge gathers them.

If texts are compared, to find duplicates, there are two rounds: tasks sign their units,
and what occurs again is decided once for all (`compare_shares`); then they process
them. Each round leaves a folder for each task beside the corpus.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from amber_jax.corpora.beam import any_mapper
from amber_jax.corpora.duplicates import compare_units, remove_keys, sign_units
from amber_jax.corpora.engine import Build, Note, begin_build, plan, process_units
from amber_jax.corpora.planning import own_units
from amber_jax.corpora.processes import Report, mapper
from amber_jax.corpora.recipe import Recipe, checked_recipe
from amber_jax.corpora.records import MANIFEST
from amber_jax.corpora.work import (
    DUPLICATES,
    PROCESSED,
    SIGNED,
    TASK,
    Share,
    check_task,
    is_done,
    open_work,
    task_facts,
    task_folders,
)
from amber_jax.files import (
    PROGRESS,
    make_folder,
    new_file,
    publish,
    workplace,
    write_json,
)
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
    compares = recipe.options.cleaning.compares_texts
    decided = compares and _is_decided(output, recipe_id)
    signs = compares and not decided
    folder = share.folder(output, SIGNED if signs else PROCESSED)
    if is_done(folder):
        check_task(folder, recipe_id)
        return folder, False
    decisions = local_copy(_decisions(output)) if decided else None
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
    recipe: Recipe,
    output: Path,
    tasks: int,
    *,
    processes: int,
    report: Report,
    note: Note = print,
    beam: Sequence[str] = (),
) -> Path | None:
    """Decides what occurs again by what all tasks have signed.

    Args:
        recipe: of the tasks.
        output: of the corpus.
        tasks: how many they are.
        processes: workers.
        report: called as work proceeds.
        note: called with whether earlier work goes on.
        beam: options of an Apache Beam pipeline that compares; none: processes.

    Returns:
        The folder of the decisions, which the tasks wait for; None if there is nothing
        to decide: no texts are compared, all is decided, or the corpus is there.

    Raises:
        UserError: a task has not finished, or was of another recipe.
    """
    cleaning = recipe.options.cleaning
    if not cleaning.compares_texts or (output / MANIFEST).is_file():
        return None
    _, recipe_id = checked_recipe(recipe, processes)  # reads all inputs
    if _is_decided(output, recipe_id):
        return None
    decisions = _decisions(output)
    folders = task_folders(output, tasks, recipe_id, SIGNED)
    mapping = any_mapper(processes, beam)
    with workplace(decisions, resumed=f"*{PROGRESS}") as place, mapping as run:
        directory = open_work(place, recipe_id, note).directory / DUPLICATES
        for folder in folders:
            _gather(folder, directory)
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


def _decisions(output: Path) -> Path:
    return output.with_name(f"{output.name}.{DUPLICATES}")


def _is_decided(output: Path, recipe_id: str) -> bool:
    folder = _decisions(output)
    if not is_done(folder):
        return False
    again = f"remove it and {output.name}.{SIGNED}-*, and run both rounds again"
    check_task(folder, recipe_id, again)
    return True


def _gather(folder: Path, directory: Path) -> None:
    """Brings a task's keys together with those of the others, as links if it can."""
    for file in folder.rglob("*"):
        target = directory / file.relative_to(folder)
        if file.is_dir():
            make_folder(target)
        elif file.name != TASK and not target.exists():
            try:
                os.link(file, target)
            except OSError:  # on another disk
                with file.open("rb") as source, new_file(target) as copy:
                    shutil.copyfileobj(source, copy)
