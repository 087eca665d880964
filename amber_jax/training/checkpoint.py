"""Checkpoints that are whole, verified, and enough on their own.

A checkpoint is a folder named after its step:

    params/         Orbax: the parameters
    training/       Orbax: optimizer memory and counters; not in a model that is only
                    to be used
    run.json        configuration, stage, fingerprints, versions, parameter shapes
    tokenizer/      what the writer adds, so that the model can be used alone
    MANIFEST.json   size and sha256 of every file above

It takes its name when the manifest is there (`files.publish`), so a
folder with a plain number is complete. In object storage it has its name from the
beginning, with a mark beside it until the manifest is there (`manifest.begin_folder`).
Reading verifies the manifest, because Orbax restores flipped bits without an error.
"""

import contextlib
import dataclasses
import functools
import logging
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from amber_jax.errors import StorageError, UserError
from amber_jax.files import (
    clear,
    failure,
    filling,
    make_folder,
    partial_path,
    read_object,
    remove_failed,
    remove_folder,
    unfinished,
    workplace,
    write_json,
    writing,
)
from amber_jax.storage import is_remote
from amber_jax.training.agreement import decided_by_first, done_by_first, is_first
from amber_jax.training.allocator import give_back_unused
from amber_jax.training.manifest import (
    MANIFEST,
    RUN,
    begin_folder,
    commit,
    complete_folder,
    damage,
)
from amber_jax.training.object_storage import (
    CommittedByUs,
    bound_retries,
    last_cause,
)
from amber_jax.training.state import TrainState
from amber_jax.types import Params

_PATIENCE_SECONDS = 30.0
_SLICE_BYTES = 1 << 20  # the least that is written apart, of an array on many devices
_SLICES = 32  # of such an array, at most: on a large pod its slices are small
_ORBAX_ERRORS = (OSError, ValueError)  # how Orbax tells that it could not write

CHECKPOINTS = "checkpoints"  # of a workdir
Note = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: where it is, its step, and its run.json."""

    path: Path
    step: int
    run: Mapping[str, Any]


@functools.cache
def _silence_echoes() -> None:
    """Keeps off the terminal what Orbax prints of an error that it raises as well.

    Its threads log a traceback each; and when one write fails on a full disk, those
    under way beside it end after their event loop and complain of that.
    """
    logging.getLogger("absl").addFilter(
        lambda record: not (record.exc_info and "/orbax/" in record.pathname)
    )
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook


class CheckpointWriter:
    """Saves in the background, one checkpoint at a time, on the CPU once it is read.

    Args:
        directory: where the step folders go.
        keep: how many of the newest checkpoints stay.
        keep_every: those of multiples of this many steps stay besides; 0: none.
        write_extras: called with the unfinished folder to add files of its own.
        keep_too: called for a step that stays besides the newest, or None.
        check: called before what was written is called complete; raises if another
            process may be writing there.
        note: called with a sentence if the run has to wait long for a save.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: int,
        write_extras: Callable[[Path], None],
        keep_too: Callable[[], int | None] = lambda: None,
        keep_every: int = 0,
        check: Callable[[], None] = lambda: None,
        note: Note = print,
    ) -> None:
        self._directory = directory
        self._keep = keep
        self._keep_every = keep_every
        self._write_extras = write_extras
        self._keep_too = keep_too
        self._check = check
        self._note = note
        self._saving = 0  # the step
        _silence_echoes()
        bound_retries()
        self._orbax = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(params=_handler(), training=_handler()),
            temporary_path_class=CommittedByUs if is_remote(directory) else None,
        )
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        if jax.process_index() == 0:
            make_folder(directory)
            for leftover in unfinished(directory):
                clear(leftover)

    def save(self, state: TrainState, run: Mapping[str, Any]) -> None:
        """Starts saving `state` and the JSON-able `run`; a step may then overwrite it.

        Raises:
            UserError: this save or an earlier one failed, as on a full disk.
        """
        self.wait()
        step = self._saving = int(state.step)
        complete = self._directory / str(step)
        if decided_by_first(lambda: complete.exists() and damage(complete) is None):
            return
        rest = {
            name: getattr(state, name) for name in state._fields if name != "params"
        }
        contents = {**run, "step": step, "parameters": parameter_shapes(state.params)}
        try:
            self._check()
            partial = begin_folder(complete, lead=jax.process_index() == 0)
            self._orbax.save(
                str(partial.resolve()),
                ocp.args.Composite(
                    params=ocp.args.PyTreeSave(state.params),
                    training=ocp.args.PyTreeSave(rest),
                ),
                force=True,
            )
            if _on_cpu(state.params):
                # Orbax reads the arrays themselves there. Until it has, no step can
                # work in place: it would take the memory of a second state.
                with self._patiently():
                    self._orbax.wait_until_finished()
        except _ORBAX_ERRORS as error:
            raise self._failure(step, error) from error
        # Asked now: a better one that comes meanwhile is not on disk yet.
        self._thread = threading.Thread(
            target=self._finish, args=(step, partial, contents, self._keep_too())
        )
        self._thread.start()

    def wait(self) -> None:
        """Returns when the save under way, if any, is complete on disk.

        Raises:
            UserError: it failed; if it did in the first process, in all of them.
        """
        if not is_first():
            self._join()
        done_by_first(self._join)

    def _join(self) -> None:
        if self._thread is not None:
            with self._patiently():
                self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Waits for the last save and lets go of Orbax's threads."""
        try:
            self._join()
        finally:
            self._orbax.close()

    def _finish(
        self, step: int, partial: Path, run: Mapping[str, Any], kept_too: int | None
    ) -> None:
        try:
            self._orbax.wait_until_finished()
            if jax.process_index() == 0:
                self._check()
                with filling(partial) as folder:
                    write_json(folder / RUN, run)
                    self._write_extras(folder)
                self._check()
                complete_folder(partial, self._directory / str(step), self._check)
                self._prune(kept_too)
            give_back_unused()
        except BaseException as error:  # noqa: BLE001 - raised again by `wait`
            self._error = self._failure(step, error)

    @contextlib.contextmanager
    def _patiently(self) -> Iterator[None]:
        """Says so if what is in the block takes long."""
        sentence = (
            f"the run waits for checkpoint {self._saving}, which is still being "
            f"written to {self._directory}"
        )
        timer = threading.Timer(_PATIENCE_SECONDS, self._note, [sentence])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _prune(self, kept_too: int | None) -> None:
        folders = [self._directory / str(step) for step in _steps(self._directory)]
        # Reads what is kept back from disk: a damaged one must not push out a good one.
        old = [folder for folder in folders if damage(folder) is None][self._keep :]
        for folder in old:
            step = int(folder.name)
            spaced = self._keep_every and step % self._keep_every == 0
            if not spaced and step != kept_too:
                remove_folder(folder)

    def _failure(self, step: int, error: BaseException) -> UserError:
        if is_remote(self._directory):
            reason = last_cause(error)
            return StorageError(
                *(self._directory / str(step), "written", reason),
                "earlier checkpoints are intact: start the command again when the "
                "storage takes it",
                passes=error.passes
                if isinstance(error, StorageError)
                else "Forbidden" not in reason,
            )
        # Orbax's temporary folder too, or a full disk would stay full.
        for leftover in unfinished(self._directory, str(step)):
            remove_failed(leftover)
        free = shutil.disk_usage(self._directory).free / 1e9
        return UserError(
            f"checkpoint {step} cannot be written to {self._directory} "
            f"({failure(error)}; {free:.1f} GB are free); earlier checkpoints are "
            "intact: make room there and start the command again"
        )


def _on_cpu(params: Params) -> bool:
    return all(
        device.platform == "cpu"
        for param in jax.tree.leaves(params)
        for device in param.devices()
    )


def save_params(
    path: Path,
    params: Any,
    run: Mapping[str, Any],
    *,
    write_extras: Callable[[Path], None],
) -> None:
    """Writes a checkpoint to use and not to train on: parameters, no optimizer memory.

    Of several processes the one that calls it does so alone; it has all of `params`.

    Args:
        path: the folder; what is there is replaced when the new one is complete.
        params: the parameters.
        run: contents of run.json, with "step".
        write_extras: as in `CheckpointWriter`.

    Raises:
        UserError: it cannot be written.
    """
    with workplace(path) as work:
        whole = work / "whole"
        _silence_echoes()
        orbax = _checkpointer_of_this_process()
        if jax.process_count() > 1:  # Orbax takes no array of one process then
            params = jax.tree.map(np.asarray, params)
        with writing(path, errors=_ORBAX_ERRORS), orbax as writer:
            writer.save(
                whole.resolve(),
                ocp.args.Composite(params=ocp.args.PyTreeSave(params)),
            )
        contents = {**run, "parameters": parameter_shapes(params)}
        write_json(whole / RUN, contents)
        write_extras(whole)
        complete_folder(whole, path)


def _handler(**options: Any) -> ocp.PyTreeCheckpointHandler:
    """Returns what writes the arrays of a tree, small ones in one piece.

    Orbax has every device that holds an array write a slice of it. Small slices cost
    more than they save: where all arrays are small, most of the time of a save.
    """
    arrays = ocp.type_handlers.ArrayHandler(
        min_slice_bytes_for_replica_parallel=_SLICE_BYTES,
        max_replicas_for_replica_parallel=_SLICES,
    )
    return ocp.PyTreeCheckpointHandler(
        type_handler_registry=ocp.type_handlers.create_type_handler_registry(
            (jax.Array, arrays), (np.ndarray, ocp.type_handlers.NumpyHandler())
        ),
        **options,
    )


def _checkpointer_of_this_process() -> ocp.Checkpointer:
    """Returns what writes without waiting for other processes."""
    index = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=index,
        active_processes={index},
        barrier_sync_key_prefix=f"process_{index}",
    )
    return ocp.Checkpointer(
        ocp.CompositeCheckpointHandler(
            params=_handler(multiprocessing_options=alone),
            composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
        ),
        multiprocessing_options=alone,
    )


def newest_checkpoint(directory: Path, note: Note = print) -> Checkpoint | None:
    """Returns the newest checkpoint that verifies, or None.

    Every newer folder that does not verify is reported through `note` with its
    reason; nothing is deleted.
    """
    for step in _steps(directory):
        path = directory / str(step)
        reason = damage(path)
        if reason is None:
            return Checkpoint(path, step, _read_run(path))
        note(f"checkpoint {path} is not used: {reason}")
    return None


def refuse_damaged(directory: Path) -> None:
    """Raises UserError if there are checkpoints in `directory`; none verifies, then."""
    if written_steps(directory):
        raise UserError(
            f"{directory}: none of its checkpoints can be used, for the reasons above; "
            "restore one from a copy, or move the folder away to begin anew"
        )


def find_checkpoint(path: Path, note: Note = print) -> Checkpoint:
    """Returns the checkpoint at `path`: a step folder, its parent, or a workdir."""
    if (path / MANIFEST).is_file():
        reason = damage(path)
        if reason is not None:
            raise UserError(f"checkpoint {path} is damaged: {reason}; use another step")
        run = _read_run(path)
        return Checkpoint(path, int(run["step"]), run)
    for directory in (path / CHECKPOINTS, path):
        newest = newest_checkpoint(directory, note) if directory.is_dir() else None
        if newest is not None:
            return newest
    raise UserError(
        f"no complete checkpoint in {path}; wanted a run's workdir or one of the "
        "numbered folders in its checkpoints/"
    )


def restore_state(checkpoint: Checkpoint, abstract: TrainState) -> TrainState:
    """Returns the checkpoint's state.

    Args:
        checkpoint: a verified checkpoint.
        abstract: ShapeDtypeStructs with the shardings wanted now, which may differ
            from those the state was saved with; parameters as of `restore_params`.

    Raises:
        UserError: the checkpoint is of a model of other sizes.
    """
    check_parameters(checkpoint, abstract.params)
    rest = {
        name: getattr(abstract, name) for name in abstract._fields if name != "params"
    }
    everything = {**abstract_params(checkpoint), **abstract.params}
    restored = _restore(checkpoint, params=everything, training=rest)
    params = {part: restored["params"][part] for part in abstract.params}
    return TrainState(params=params, **restored["training"])


def restore_params(checkpoint: Checkpoint, abstract: Any) -> Any:
    """Returns parameters of the checkpoint.

    Args:
        checkpoint: a verified checkpoint.
        abstract: ShapeDtypeStructs of the parts wanted, with shardings; parts of the
            checkpoint that are not there, as a pooler or a head, are left out.

    Raises:
        UserError: the checkpoint lacks one, or has it in another size.
    """
    check_parameters(checkpoint, abstract)
    everything = {**abstract_params(checkpoint), **abstract}
    restored = _restore(checkpoint, params=everything)["params"]
    return {part: restored[part] for part in abstract}


def abstract_params(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns all of the checkpoint's parameters as ShapeDtypeStructs, float32."""
    tree: dict[str, Any] = {}
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    for name, shape in checkpoint.run["parameters"].items():
        *groups, leaf = name.split("/")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[leaf] = jax.ShapeDtypeStruct(tuple(shape), jnp.float32, sharding=device)
    return tree


def check_parameters(checkpoint: Checkpoint, abstract: Any) -> None:
    """Raises UserError naming the first wanted parameter that is absent or differs."""
    wanted = parameter_shapes(abstract)
    stored = {
        name: shape
        for name, shape in checkpoint.run["parameters"].items()
        if name.split("/")[0] in abstract
    }
    for name in sorted(stored.keys() | wanted.keys()):
        if stored.get(name) != wanted.get(name):
            raise UserError(
                f"checkpoint {checkpoint.path} does not fit this model: parameter "
                f"{name} is {stored.get(name, 'absent')} there and "
                f"{wanted.get(name, 'absent')} here; use the checkpoint's own config"
            )


def parameter_shapes(params: Any) -> dict[str, list[int]]:
    """Returns {name: shape}, names as in `encoder/embeddings/word/embedding`."""
    return {name: list(leaf.shape) for name, leaf in leaf_names(params)}


def leaf_names(tree: Any) -> list[tuple[str, Any]]:
    """Returns (name, leaf) for every leaf, names as in `encoder/embeddings/...`."""
    return [
        ("/".join(str(entry.key) for entry in path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def _read_run(path: Path) -> dict[str, Any]:
    return read_object(path / RUN, "use another step")


def _restore(checkpoint: Checkpoint, **abstract: Any) -> Mapping[str, Any]:
    wanted = {k: ocp.args.StandardRestore(v) for k, v in abstract.items()}
    bound_retries()
    missing = [part for part in wanted if not (checkpoint.path / part).is_dir()]
    if missing:
        raise UserError(
            f"checkpoint {checkpoint.path} has no {missing[0]}/ folder; wanted one to "
            "go on training from, with optimizer memory"
        )
    if is_remote(checkpoint.path):  # one that was copied there by hand has no marks
        commit(checkpoint.path)
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        return reader.restore(
            str(checkpoint.path.resolve()), ocp.args.Composite(**wanted)
        )


def written_steps(directory: Path) -> list[int]:
    """Returns the steps whose folder was written to its end, newest first.

    It may have been damaged since.
    """
    steps = _steps(directory)
    if not is_remote(directory):
        return steps
    begun = {path.name for path in unfinished(directory)}
    return [s for s in steps if partial_path(directory / str(s)).name not in begun]


def _steps(directory: Path) -> list[int]:
    """Returns the steps that have a folder, newest first."""
    if not directory.is_dir():
        return []
    names = [path.name for path in directory.iterdir()]
    return sorted((int(n) for n in names if n.isdecimal()), reverse=True)
