"""One seed of a fine-tuning: trained, and its best step kept.

The same step, back ends, loop and session as pretraining.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax import config as settings
from amber_jax.config.renamed import migrated
from amber_jax.data.labeled import Rows, training_batches
from amber_jax.evaluation.scores import label_scores
from amber_jax.files import write_json
from amber_jax.finetuning import zero_shot
from amber_jax.finetuning.heads import HEADS
from amber_jax.finetuning.labeling import (
    CROSS_ENTROPY,
    init_labeling,
    labeling_objective,
)
from amber_jax.finetuning.preparation import Setup
from amber_jax.inference.loading import TOKENIZER_FOLDER
from amber_jax.model import flops
from amber_jax.model.heads import LabelingModel
from amber_jax.training import checkpoint as checkpoints
from amber_jax.training import loop
from amber_jax.training.agreement import decided_by_first, done_by_first
from amber_jax.training.checkpoint import Note
from amber_jax.training.clock import Work
from amber_jax.training.compilation import StepOfEachShape
from amber_jax.training.keys import dropout_key, init_key
from amber_jax.training.log import Evaluated, Evaluation
from amber_jax.training.optimizer import build_schedule
from amber_jax.training.parallel import build_in_place, on_one_device, put_own_rows
from amber_jax.training.profile import Profiler
from amber_jax.training.session import Session, session
from amber_jax.training.state import TrainState, new_state
from amber_jax.training.step import train_step
from amber_jax.training.workdir import (
    DROPOUT,
    check_dropout,
    check_same_run,
    versions,
    with_defaults,
)
from amber_jax.types import Params

DEV = "dev"
_COMMONEST = "commonest_label"  # of a dev record: the share of one label; 1: constant
_COMPILED_AHEAD = 32  # batches whose numbers of rows have a program before the first
_FREE_TO_CHANGE = (
    *("backend", "num_devices", "fsdp", "log_every", "tensorboard", "label", "seeds"),
    *("languages", "test", "data", "stand_in", "max_skipped_in_a_row", "kernels"),
    *("row_multiple", "stuck_after", "max_test_examples"),
)


def compile_step(setup: Setup, note: Note) -> StepOfEachShape:
    """Returns the step that all seeds share, compiled for every number of rows.

    Args:
        setup: of the fine-tuning.
        note: called with what a program takes, when it is compiled.
    """
    rows = setup.word_rows
    step = functools.partial(
        train_step,
        objective=labeling_objective(
            _with_vocabulary(setup.model, len(rows.pieces)),
            train_from_layer=setup.config.train_from_layer,
        ),
        loss_weights=lambda _: {CROSS_ENTROPY: jnp.float32(1.0)},
        learning_rate=build_schedule(
            setup.config.schedule,
            setup.config.peak_learning_rate,
            warmup_steps=setup.config.warmup_steps,
            decay_steps=setup.config.decay_steps,
            num_steps=setup.num_steps,
        ),
        optimizer=setup.optimizer,
    )
    memory = jax.eval_shape(rows.narrow, setup.abstract_state.opt_state)
    return StepOfEachShape(
        setup.backend.compile(
            rows.step(step), setup.abstract_state._replace(opt_state=memory)
        ),
        title=setup.config.task,
        note=note,
    )


def train_seed(setup: Setup, step: StepOfEachShape, seed: int, folder: Path) -> bool:
    """Trains one seed and writes its best checkpoint; returns False if stopped.

    Args:
        setup: what all seeds share.
        step: as `compile_step` returns it.
        seed: of the head, the order of the examples and dropout.
        folder: of its log and checkpoints; a run that it holds goes on.

    Raises:
        UserError: the folder holds another run, or it cannot be written.
    """
    with session(
        folder,
        config=_seed_config(setup, seed),
        num_steps=setup.num_steps,
        check=functools.partial(_check_same, setup, seed),
        restore=functools.partial(_restore, setup),
        new_state=functools.partial(first_state, setup, seed),
        write_extras=functools.partial(_save_tokenizer, setup),
        keep=2,
        keep_too=best_step,
        tensorboard=setup.config.tensorboard,
    ) as begun:
        log = begun.log
        state, stopped = _run_steps(setup, step, seed, begun)
        begun.writer.wait()
        best = decided_by_first(lambda: best_step(log.evaluated))
        if stopped or best is None:
            log.note(f"asked to stop: saved step {int(state.step)}")
            return False
        record = log.evaluated[best, DEV]
        if record.get(_COMMONEST, 0) == 1 and len(setup.examples.dev) > 1:
            log.note(
                f"dev: at step {best}, the best, every prediction is the same "
                "label; the training has collapsed"
            )
        _keep_best(setup, seed, folder, record)
    return True


def best_step(evaluated: Evaluated) -> int | None:
    """Returns the step with the best dev score, the first of equals; None: no score."""
    scores = {
        step: record["average"]
        for (step, name), record in evaluated.items()
        if name == DEV
    }
    return max(scores, key=lambda step: (scores[step], -step)) if scores else None


def _run_steps(
    setup: Setup, step: StepOfEachShape, seed: int, begun: Session
) -> tuple[TrainState, bool]:
    """Returns the last step's state, and whether someone asked to stop."""
    config, state, log = setup.config, begun.state, begun.log
    start, end = int(state.step), setup.num_steps
    dev = Evaluation(DEV, lambda params: _score_dev(setup, params))
    if start == end or (start and loop.is_due(start, config.evaluate_every)):
        # A run that was asked to stop at that step had left it out.
        log.evaluate([dev], state, config.task)
    if start == end:
        return state, False
    run_json = _run_json(setup, seed)
    put_batch = functools.partial(put_own_rows, setup.backend)
    # What most programs take stands from the first step on.
    for batch in itertools.islice(batches_from(setup, seed, start), _COMPILED_AHEAD):
        step.program(state, put_batch(batch), dropout_key(seed))
    with loop.StopRequest().installed() as stop:
        state = loop.run(
            state,
            train_step=step,
            batches=batches_from(setup, seed, start),
            put_batch=put_batch,
            key=dropout_key(seed),
            start=start,
            end=end,
            schedule=loop.Schedule(
                log_every=config.log_every,
                save_every=config.evaluate_every,
                evaluate_every=config.evaluate_every,
                max_skipped_in_a_row=config.max_skipped_in_a_row,
                stuck_after=config.stuck_after,
            ),
            callbacks=loop.Callbacks(
                on_train=functools.partial(log.train, config.task),
                evaluate=lambda state, _: log.evaluate([dev], state, config.task),
                save=lambda state: begun.save(_whole(setup, state), run_json),
                count_work=functools.partial(
                    _count_work, setup.model, config.train_from_layer
                ),
                on_pause=functools.partial(log.pause, config.task),
                go_on_from=begun.go_on_from,
            ),
            stop=stop,
            profiler=Profiler(None, Path()),
            peak_flops=0.0,
        )
        return state, stop.agreed(ask_others=True)


def batches_from(setup: Setup, seed: int, start: int) -> Iterator[dict[str, Rows]]:
    """Yields the batches of a seed's steps from `start` on, as its step takes them."""
    return map(
        setup.word_rows.renumbered,
        training_batches(
            setup.encoded_train,
            setup.labeler.shape,
            batch_size=setup.config.batch_size,
            seed=seed,
            start=start,
            stop=setup.num_steps,
            multiple=math.lcm(setup.config.row_multiple, setup.backend.num_devices),
        ),
    )


def _count_work(
    model: LabelingModel, train_from_layer: int, batch: Mapping[str, Any]
) -> Work:
    labeled = batch["labeled"]
    total = flops.labeling(
        model.config,
        labeled["span_lengths"],
        num_slots=int((labeled["label_weights"] > 0).sum()),
        num_labels=model.num_labels,
        pooled=model.pooled,
        train_from_layer=train_from_layer,
    )
    return Work(int(labeled["span_lengths"].sum()), total)


def _score_dev(setup: Setup, params: Params) -> dict[str, float]:
    dev = setup.examples.dev
    predicted = setup.labeler.predict_encoded(params, dev, setup.encoded_dev)
    scores = label_scores(setup.task, dev, predicted)
    return {
        **scores,
        _COMMONEST: zero_shot.commonest_share(predicted),
        "average": scores[setup.task.metric],
    }


def first_state(setup: Setup, seed: int) -> TrainState:
    """Returns a seed's first state, with the optimizer memory of `setup.word_rows`."""
    params = init_labeling(setup.model, setup.pretrained.params, init_key(seed))

    def build(params: Params) -> TrainState:
        state = new_state(setup.word_rows.narrow(params), setup.optimizer)
        # Copied, because the step gives its input's memory away and seeds share the
        # start.
        return state._replace(params=jax.tree.map(jnp.copy, params))

    return build_in_place(build, setup.backend, jax.tree.map(np.asarray, params))


def _restore(setup: Setup, checkpoint: checkpoints.Checkpoint) -> TrainState:
    """Returns a checkpoint's state as `first_state` returns that of step 0."""
    state = checkpoints.restore_state(checkpoint, setup.abstract_state)
    memory = build_in_place(setup.word_rows.narrow, setup.backend, state.opt_state)
    return state._replace(opt_state=memory)


def _whole(setup: Setup, state: TrainState) -> TrainState:
    """Returns the state as checkpoints hold it."""
    memory = build_in_place(setup.word_rows.widen, setup.backend, state.opt_state)
    return state._replace(opt_state=memory)


def _with_vocabulary(model: LabelingModel, size: int) -> LabelingModel:
    return model.clone(config=dataclasses.replace(model.config, vocab_size=size))


def _save_tokenizer(setup: Setup, path: Path) -> None:
    setup.pretrained.tokenizer.save(path / TOKENIZER_FOLDER)


def _seed_config(setup: Setup, seed: int) -> dict[str, Any]:
    return settings.as_json(setup.config) | {"seed": seed}


def _run_json(setup: Setup, seed: int) -> dict[str, Any]:
    return {
        "config": _seed_config(setup, seed),
        "encoder": setup.model.config.recorded(),
        "task": {
            "name": setup.config.task,
            "labels": list(setup.task.labels),
            "max_length": setup.config.max_length,
        },
        "pretrained": {
            "path": str(setup.pretrained.checkpoint.path),
            "step": 0 if setup.config.untrained else setup.pretrained.checkpoint.step,
        },
        "dropout": DROPOUT,
        **_fingerprints(setup),
        "tokenizer_fingerprint": setup.pretrained.tokenizer.fingerprint,
        "versions": versions(),
    }


def _fingerprints(setup: Setup) -> dict[str, str]:
    return {
        "pretrained_fingerprint": setup.pretrained.fingerprint,
        "examples_fingerprint": setup.examples.fingerprint,
    }


def _check_same(setup: Setup, seed: int, newest: checkpoints.Checkpoint) -> None:
    defaults = settings.as_json(settings.finetuning(setup.config.task))
    check_dropout(newest, setup.config.dropout)
    check_same_run(
        newest,
        with_defaults(migrated(newest.run["config"]), defaults),
        _seed_config(setup, seed),
        free_to_change=_FREE_TO_CHANGE,
        fingerprints=_fingerprints(setup),
    )


def _keep_best(
    setup: Setup, seed: int, folder: Path, record: Mapping[str, Any]
) -> None:
    """Writes the parameters of the best dev record to `folder`/best; reruns too."""
    step, config, examples = record["step"], setup.config, setup.examples
    params = checkpoints.restore_params(
        checkpoints.find_checkpoint(folder / checkpoints.CHECKPOINTS / str(step)),
        setup.abstract_state.params,
    )
    selection = {"metric": setup.task.metric, "score": record["average"], "step": step}
    train = {
        "files": [PurePath(file).name for file in examples.files],
        "examples": len(examples.train),
        "first_only": examples.first_only,
        "stand_in": config.stand_in,
    }
    counted = HEADS[setup.task.kind].learned_by_counting(examples.train)

    def write_extras(path: Path) -> None:
        _save_tokenizer(setup, path)
        write_json(path / zero_shot.COUNTED, counted)

    save = functools.partial(
        *(checkpoints.save_params, folder / zero_shot.BEST, on_one_device(params)),
        _run_json(setup, seed) | {"step": step, "selection": selection, "train": train},
        write_extras=write_extras,
    )
    done_by_first(save)
