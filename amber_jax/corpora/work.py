"""What a build has done so far, on disk: one that was cut goes on where it stopped.

A record is a JSON file that appears when all that it speaks of is on disk:

    inputs/3.json           input file 3 is read; inputs/3.txt is its text if unpacked
    sampled/0-12.json       a hundredth of unit 12 of source 0 is processed
    rows/0-12.json          unit 12 of source 0 is processed
    written/pair-en-fr.json     the rows that units left over are packed
    written/pair-en-fr-64.json  shards 64 and following are written
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError
from amber_jax.files import (
    PROGRESS,
    fingerprint,
    is_whole,
    make_folder,
    read_json,
    read_object,
)
from amber_jax.storage import local_copy

FORMAT = 1  # of the records; those of another are of no use
TASK = "task.json"  # what a task's folder is of
PROCESSED, SIGNED = "task", "signed"  # what a task has done with its units
FOLDERS = ("inputs", "sampled", "rows", "written")
DUPLICATES = "duplicates"  # the folder of what occurs again, if that is asked for
_ADVICE = "remove the folder and run the command again"


@dataclass(frozen=True)
class Share:
    """One task's part of the work that `count` of them do."""

    index: int = 0
    count: int = 1

    def folder(self, output: Path, work: str = PROCESSED) -> Path:
        """Returns where the task leaves its work, beside the corpus."""
        name = f"{output.name}.{work}-{self.index:04d}-of-{self.count:04d}"
        return output.with_name(name)


@dataclass(frozen=True)
class WorkFolder:
    """The records of a build, and of the tasks that worked for it."""

    directory: Path
    finished: Mapping[str, Path] = field(default_factory=dict)  # records of tasks

    def record(self, name: str) -> Path | None:
        """Returns the record `name`, as in "rows/0-12", or None if there is none."""
        own = self.directory / f"{name}.json"
        return own if own.is_file() else self.finished.get(name)

    def existing(self, name: str) -> Path:
        """Returns the record `name` of something that must have been done by now.

        Raises:
            UserError: somebody has removed it.
        """
        record = self.record(name)
        if record is None:
            raise UserError(f"{self.directory}/{name}.json has gone; {_ADVICE}")
        return record

    def remove(self, files: Iterable[Path]) -> None:
        """Removes files that the work needs no more, if they are its own."""
        for file in files:
            if file.is_relative_to(self.directory):
                file.unlink(missing_ok=True)


def open_work(
    place: Path,
    recipe_id: str,
    note: Callable[[str], None],
    finished: Sequence[Path] = (),
) -> WorkFolder:
    """Returns the work folder of a recipe in a `files.workplace`.

    Args:
        place: the workplace; work of another recipe in it is removed.
        recipe_id: fingerprint of the recipe.
        note: is told whether work that was cut goes on or begins anew.
        finished: folders of tasks.
    """
    directory = place / (fingerprint([FORMAT, recipe_id])[:16] + PROGRESS)
    for other in place.iterdir():
        if other != directory:
            note(
                f"{place} holds unfinished work of other inputs, options or tokenizer; "
                "beginning anew"
            )
            shutil.rmtree(other)
    if directory.exists():
        units = sum(1 for _ in (directory / "rows").glob("*.json"))
        signed = sum(1 for _ in (directory / DUPLICATES).glob("[0-9]*.json"))
        note(
            f"going on where a build was cut: {units:,} units of work are done"
            + (f", {signed:,} are signed" if signed else "")
        )
    for name in FOLDERS:
        make_folder(directory / name)
    records = (path for folder in finished for path in folder.glob("*/*.json"))
    by_name = {f"{path.parent.name}/{path.stem}": path for path in records}
    return WorkFolder(directory, by_name)


def task_folders(
    output: Path, count: int, recipe_id: str, work: str = PROCESSED
) -> list[Path]:
    """Returns the folders of all `count` tasks of a corpus, on this machine.

    Args:
        output: of the corpus.
        count: how many tasks there are.
        recipe_id: fingerprint of the recipe.
        work: what they have done, `PROCESSED` or `SIGNED`.

    Raises:
        UserError: a task has not finished, or was of another recipe.
    """
    folders = [Share(index, count).folder(output, work) for index in range(count)]
    missing = [str(n) for n, path in enumerate(folders) if not is_done(path)]
    if missing:
        raise UserError(
            f"{output}: of {count} tasks {', '.join(missing)} have not finished; run "
            f"them with --task_index=NUMBER --num_tasks={count}, then merge again"
        )
    for folder in folders:
        check_task(folder, recipe_id)
    return [local_copy(folder) for folder in folders]


def is_done(folder: Path) -> bool:
    """Returns whether a task, or what puts tasks together, has left its folder."""
    return is_whole(folder) and (folder / TASK).is_file()


def check_task(
    folder: Path, recipe_id: str, advice: str = "remove it and run that task again"
) -> None:
    """Raises a `UserError` unless a task's folder is of this recipe."""
    facts = read_object(folder / TASK, _ADVICE)
    if facts != task_facts(recipe_id):
        raise UserError(
            f"{folder} is of other inputs, options or tokenizer, or of another "
            f"version; {advice}"
        )


def task_facts(recipe_id: str) -> dict[str, Any]:
    """Returns what a task's folder says that it is of."""
    return {"format": FORMAT, "recipe_fingerprint": recipe_id}


def read_record(path: Path) -> Any:
    """Returns the content of a record."""
    return read_json(path, _ADVICE)
