"""Pretraining, wired: config to corpus, encoder, objective, optimizer, loop.

Stage by stage, with checkpoints; running the same command again goes on where the
last complete checkpoint ends.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.config.renamed import migrated
from amber_jax.data.pipeline import BatchPlan, HostBatch, batches, import_ahead
from amber_jax.evaluation.retrieve import RetrievalEvaluation, build_retrieval
from amber_jax.inference.loading import TOKENIZER_FOLDER, Initial, stored_pooler
from amber_jax.inference.trained import encoding_defaults
from amber_jax.pretraining.beginning import keeps_pooler, sentences_as_before
from amber_jax.pretraining.describe import describe
from amber_jax.pretraining.preparation import Run, parameters_to_begin_with, prepare
from amber_jax.pretraining.speed import Speed, speed_of
from amber_jax.pretraining.stages import Stage, first_state, needed_flops
from amber_jax.training import loop
from amber_jax.training.agreement import is_first, silent
from amber_jax.training.checkpoint import Checkpoint, restore_state
from amber_jax.training.clock import Work
from amber_jax.training.compilation import compiled_ahead
from amber_jax.training.keys import dropout_key
from amber_jax.training.log import Evaluation
from amber_jax.training.parallel import build_in_place
from amber_jax.training.profile import PROFILE_FOLDER, Profiler, Window
from amber_jax.training.session import Session, session
from amber_jax.training.state import TrainState
from amber_jax.training.workdir import (
    DROPOUT,
    check_dropout,
    check_same_run,
    free_settings,
    versions,
    with_defaults,
)
from amber_jax.types import Params

_FREE_TO_CHANGE = (
    *(
        "backend",
        "num_devices",
        "fsdp",
        "corpus",
        "verify_corpus",
        "cache_corpus",
        "log_every",
    ),
    *("save_every", "evaluate_every", "keep_checkpoints", "keep_every"),
    *("tensorboard", "evaluations", "init_checkpoint", "max_skipped_in_a_row"),
    *("peak_tflops", "kernels", "trackers", "stuck_after"),
)


class _Origin(NamedTuple):
    """What stays of the model that a run goes on from; empty of fresh parameters."""

    run: dict[str, Any]  # its run.json
    beside: dict[str, Any]  # parameters that no step changes, its pooler

    def take(
        self, run: Run, of_model: Mapping[str, Any], pooler: Callable[[], Params]
    ) -> None:
        self.run.update(of_model)
        if keeps_pooler(run.config, of_model):
            self.beside.update(pooler())


def pretrain(
    config: ConfigDict,
    workdir: Path,
    *,
    profile: Window | None = None,
    forecast_mfu: float | None = None,
    note: Callable[[str], None] = print,
) -> TrainState:
    """Returns the final state; everything else is in `workdir`.

    Writes config.json, metrics.jsonl, tensorboard/ and checkpoints/. Ends early, with
    a checkpoint, when SIGTERM or SIGINT asks for it.

    Args:
        config: as `configs/amber_base.py` makes it.
        workdir: the folder; a run that it holds goes on.
        profile: steps to trace into profile/, or None.
        forecast_mfu: the share of the peak that a dry run reckoned with; records say
            what part of it is reached. None: they do not.
        note: called with the description of the run, in the first process.

    Raises:
        UserError: as `prepare`, or the run in `workdir` is another one.
    """
    run = prepare(config, workdir=workdir)
    speed = speed_of(run, forecast_mfu)
    import_ahead()
    lead_note = note if is_first() else silent
    lead_note(describe(run))
    origin = _Origin({}, {})

    def check(checkpoint: Checkpoint) -> None:
        _check_same(run, checkpoint)
        origin.take(run, checkpoint.run, functools.partial(stored_pooler, checkpoint))

    def new_state() -> TrainState:
        initial = parameters_to_begin_with(run, lead_note)
        if initial is not None:
            origin.take(run, initial.run, initial.pooler)
        return _new_state(run, initial)

    with session(
        workdir,
        config=settings.as_json(run.config),
        num_steps=run.stages[-1].end,
        check=check,
        restore=functools.partial(restore_state, abstract=run.abstract_state),
        new_state=new_state,
        write_extras=lambda path: run.tokenizer.save(path / TOKENIZER_FOLDER),
        keep=config.keep_checkpoints,
        keep_every=config.keep_every,
        tensorboard=config.tensorboard,
        trackers=config.trackers,
    ) as begun:
        with Profiler(profile, workdir / PROFILE_FOLDER) as profiler:
            state = _run_stages(run, begun, profiler, origin, speed)
        if outcome := profiler.outcome():
            begun.log.note(outcome)
    return state


def _check_same(run: Run, checkpoint: Checkpoint) -> None:
    """Raises UserError unless `checkpoint` is of this run, or of its first steps."""
    lists = {
        "stages": [settings.as_json(settings.stage(""))],
        "evaluations": [settings.as_json(settings.retrieval(""))],
    }
    defaults = settings.as_json(settings.pretraining()) | lists
    before, now = (
        with_defaults(migrated(checkpoint.run["config"]), defaults),
        settings.as_json(run.config),
    )
    check_dropout(
        checkpoint, max(run.encoder.hidden_dropout, run.encoder.attention_dropout)
    )
    free = free_settings(before["stages"], now["stages"], checkpoint.step)
    check_same_run(
        checkpoint,
        before,
        now,
        free_to_change=[*_FREE_TO_CHANGE, *free],
        fingerprints={"corpus_fingerprint": run.corpus.fingerprint},
    )


def _new_state(run: Run, initial: Initial | None) -> TrainState:
    build = functools.partial(
        first_state,
        *(run.encoder, run.optimizer, run.config.seed),
        direct_head=initial is not None and not initial.has_head,
    )
    state = build_in_place(build, run.backend)
    if initial is None:
        return state
    return state._replace(params={**state.params, **initial.restore()})


def _run_stages(
    run: Run, begun: Session, profiler: Profiler, origin: _Origin, speed: Speed
) -> TrainState:
    encoding = encoding_defaults(origin.run)
    evaluations = [
        _evaluation(build_retrieval(evaluation, run.encoder, run.tokenizer, encoding))
        for evaluation in run.config.evaluations
    ]
    of_sentences = sentences_as_before(run.config, origin.run)
    pooler = jax.tree.map(np.asarray, origin.beside)
    beside = build_in_place(lambda params: params, run.backend, pooler)
    save = functools.partial(_save, run, begun, of_sentences, beside)
    state, log = begun.state, begun.log
    with loop.StopRequest().installed() as stop:
        for stage in run.stages:
            step = int(state.step)
            if _evaluation_is_due(run, stage, step):  # unless its record is there
                log.evaluate(evaluations, state, stage.name)
            if step >= stage.end:
                continue
            if step == 0:
                save(stage, state)
            if step == stage.start and step > 0 and stage.reset_optimizer:
                state = state._replace(
                    opt_state=build_in_place(
                        run.optimizer.init, run.backend, state.params
                    )
                )
            state = _run_stage(
                *(run, stage, state, begun, evaluations, stop, profiler, save),
                speed,
            )
            if stop.agreed(ask_others=True):
                begun.writer.wait()
                log.note(f"asked to stop: saved step {int(state.step)}")
                break
    return state


def _run_stage(
    run: Run,
    stage: Stage,
    state: TrainState,
    begun: Session,
    evaluations: list[Evaluation],
    stop: loop.StopRequest,
    profiler: Profiler,
    save: Callable[[Stage, TrainState], None],
    speed: Speed,
) -> TrainState:
    config, log, start = run.config, begun.log, int(state.step)
    plan = BatchPlan(
        corpus=run.corpus,
        rows=stage.rows,
        seed=config.seed,
        stage=stage.index,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    key = dropout_key(config.seed)
    return loop.run(
        state,
        train_step=compiled_ahead(
            run.compile(stage),
            run.abstract_state,
            run.abstract_batch(stage),
            key,
            title=f"stage {stage.name}",
            note=log.note,
        ),
        batches=batches(plan, start=start - stage.start, stop=stage.end - stage.start),
        put_batch=run.backend.put_batch,
        key=key,
        start=start,
        end=stage.end,
        schedule=loop.Schedule(
            log_every=config.log_every,
            save_every=config.save_every,
            evaluate_every=config.evaluate_every,
            max_skipped_in_a_row=config.max_skipped_in_a_row,
            stuck_after=config.stuck_after,
        ),
        callbacks=loop.Callbacks(
            on_train=lambda record: log.train(stage.name, speed.compared(record)),
            evaluate=lambda state, _: log.evaluate(evaluations, state, stage.name),
            save=functools.partial(save, stage),
            count_work=functools.partial(count_work, run, stage),
            on_pause=functools.partial(log.pause, stage.name),
            go_on_from=begun.go_on_from,
        ),
        stop=stop,
        profiler=profiler,
        peak_flops=speed.peak_flops,
    )


def _evaluation(retrieval: RetrievalEvaluation) -> Evaluation:
    return Evaluation(
        retrieval.name,
        lambda params: retrieval.flat(retrieval.score(params)),
    )


def _evaluation_is_due(run: Run, stage: Stage, step: int) -> bool:
    """Returns whether the run has an evaluation of the stage at `step`.

    A run that was asked to stop at `step` had left it out.
    """
    every = run.config.evaluate_every
    if step == 0:
        return every > 0 and stage.start == 0
    after_start = stage.start < step <= stage.end
    return after_start and loop.evaluation_is_due(step, every, stage.end)


def count_work(run: Run, stage: Stage, batch: HostBatch) -> Work:
    """The global batch's work, taking this process's share for everyone's."""
    spans = {kind: arrays["span_lengths"] for kind, arrays in batch.items()}
    tokens = sum(int(of_kind.sum()) for of_kind in spans.values())
    needed = needed_flops(
        stage.losses,
        run.encoder,
        run.objectives,
        spans,
        row_length=run.corpus.row_length,
    )
    return Work(tokens * jax.process_count(), needed * jax.process_count())


def _save(
    run: Run,
    begun: Session,
    of_sentences: Mapping[str, Any],
    beside: Params,
    stage: Stage,
    state: TrainState,
) -> None:
    whole = state._replace(params={**state.params, **beside})
    begun.save(whole, {**_run_json(run, stage), **of_sentences})


def _run_json(run: Run, stage: Stage) -> dict[str, Any]:
    return {
        "config": settings.as_json(run.config),
        "encoder": run.encoder.recorded(),
        "stage": stage.name,
        "stage_index": stage.index,
        "dropout": DROPOUT,
        "corpus_fingerprint": run.corpus.fingerprint,
        "tokenizer_fingerprint": run.tokenizer.fingerprint,
        "versions": versions(),
    }
