"""Pretraining, wired: config to corpus, encoder, objective, optimizer, loop.

Stage by stage, with checkpoints; running the same command again goes on where the
last complete checkpoint ends.
"""

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora.records import Corpus, open_corpus
from amber_jax.data.pipeline import (
    BatchPlan,
    HostBatch,
    batches,
    check_division,
    import_ahead,
    rows_for_pairs,
)
from amber_jax.errors import UserError
from amber_jax.evaluation.retrieve import RetrievalEvaluation, build_retrieval
from amber_jax.inference.loading import (
    TOKENIZER_FOLDER,
    init_key,
    init_params,
    initial_checkpoint,
)
from amber_jax.losses import LOSSES, MASKED_LM, SENTENCES, WORDS
from amber_jax.model import flops
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.kernels import suited_to
from amber_jax.pretraining import objectives
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training import allocator, loop
from amber_jax.training import checkpoint as checkpoints
from amber_jax.training.clock import Work
from amber_jax.training.console import Console
from amber_jax.training.log import Evaluation, RunLog
from amber_jax.training.optimizer import (
    build_optimizer,
    build_schedule,
    describe_schedule,
)
from amber_jax.training.parallel import Backend, abstract_like, build_backend
from amber_jax.training.profile import PROFILE_FOLDER, Profiler, Window
from amber_jax.training.state import TrainState, new_state
from amber_jax.training.step import TrainStep, train_step
from amber_jax.training.workdir import (
    CHECKPOINTS,
    DROPOUT,
    as_json,
    begin_workdir,
    check_dropout,
    check_same_run,
    free_settings,
    versions,
    with_defaults,
)
from amber_jax.types import Array

_MASK_KEY, _DROPOUT_KEY = 1, 2  # 0 is for the first parameters
_FREE_TO_CHANGE = (
    *("backend", "num_devices", "fsdp", "corpus", "verify_corpus", "log_every"),
    *("save_every", "evaluate_every", "keep_checkpoints", "tensorboard"),
    *("evaluations", "init_checkpoint", "max_skipped_in_a_row", "peak_tflops"),
    "kernels",
)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of the run with its numbers worked out."""

    index: int
    name: str
    start: int  # first step, in steps of the whole run
    end: int
    rows: Mapping[str, int]  # kind -> rows in the global batch
    settings: ConfigDict


@dataclasses.dataclass(frozen=True)
class Run:
    """What stays the same through all stages."""

    config: ConfigDict
    corpus: Corpus
    tokenizer: Tokenizer
    encoder: EncoderConfig
    backend: Backend
    optimizer: Any
    stages: tuple[Stage, ...]

    @property
    def key(self) -> Array:
        """The run's key, from which all others are derived."""
        return jax.random.key(self.config.seed)

    @property
    def dropout_key(self) -> Array:
        """The key of dropout alone."""
        return jax.random.fold_in(self.key, _DROPOUT_KEY)


def prepare(config: ConfigDict) -> Run:
    """Returns the run that a config describes, checked against its corpus.

    Raises:
        UserError: the config, the corpus or their combination is not usable.
    """
    settings.validate(config)
    corpus = open_corpus(Path(config.corpus), verify=config.verify_corpus)
    tokenizer = load_tokenizer(corpus.directory / TOKENIZER_FOLDER)
    if tokenizer.fingerprint != corpus.tokenizer_fingerprint:
        raise UserError(
            f"corpus {corpus.directory}: its tokenizer folder holds "
            f"{tokenizer.fingerprint[:12]}, but its rows were made with "
            f"{corpus.tokenizer_fingerprint[:12]}; build the corpus again"
        )
    backend = build_backend(
        config.backend, fsdp=config.fsdp, num_devices=config.num_devices
    )
    return Run(
        config=config,
        corpus=corpus,
        tokenizer=tokenizer,
        encoder=_encoder_config(config, corpus, tokenizer),
        backend=backend,
        optimizer=build_optimizer(**config.optimizer),
        stages=_plan_stages(config, corpus, backend),
    )


def _encoder_config(
    config: ConfigDict, corpus: Corpus, tokenizer: Tokenizer
) -> EncoderConfig:
    sizes = config.model.to_dict()
    sizes["vocab_size"] = sizes["vocab_size"] or tokenizer.vocab_size
    if sizes["vocab_size"] < tokenizer.vocab_size:
        raise UserError(
            f"model.vocab_size is {sizes['vocab_size']}, but the corpus's tokenizer "
            f"has {tokenizer.vocab_size} entries; set it to 0 to take the corpus's"
        )
    needed = corpus.row_length + config.word_alignment.max_position_offset
    if sizes["max_positions"] < needed:
        raise UserError(
            f"model.max_positions is {sizes['max_positions']}, but rows of "
            f"{corpus.row_length} tokens and offsets up to "
            f"{config.word_alignment.max_position_offset} need {needed}"
        )
    kernels = suited_to(jax.local_devices()[0], config.kernels)
    return EncoderConfig(**sizes, kernels=kernels)


def _plan_stages(
    config: ConfigDict, corpus: Corpus, backend: Backend
) -> tuple[Stage, ...]:
    stages, start = [], 0
    for index, one in enumerate(config.stages):
        wanted = {"mono": one.monolingual_pairs, "pair": one.translation_pairs}
        for kind, pairs in wanted.items():
            if pairs and not corpus.streams[kind]:
                raise UserError(
                    f"stage {one.name} wants {kind} rows, but corpus "
                    f"{corpus.directory} has none; add such text and build it again"
                )
        rows = {
            kind: rows_for_pairs(
                corpus.streams[kind], pairs, multiple=config.row_multiple
            )
            for kind, pairs in wanted.items()
            if pairs
        }
        check_division(rows, jax.process_count(), "processes")
        check_division(
            rows,
            backend.num_devices * one.micro_batches,
            f"devices and micro-batches ({backend.num_devices} x {one.micro_batches})",
        )
        stages.append(Stage(index, one.name, start, start + one.num_steps, rows, one))
        start += one.num_steps
    return tuple(stages)


def pretrain(
    config: ConfigDict, workdir: Path, *, profile: Window | None = None
) -> TrainState:
    """Returns the final state; everything else is in `workdir`.

    Writes config.json, metrics.jsonl, tensorboard/ and checkpoints/. Ends early, with
    a checkpoint, when SIGTERM or SIGINT asks for it.

    Args:
        config: as `configs/amber_base.py` makes it.
        workdir: the folder; a run that it holds goes on.
        profile: steps to trace into profile/, or None.

    Raises:
        UserError: as `prepare`, or the run in `workdir` is another one.
    """
    run = prepare(config)
    import_ahead()
    lead = jax.process_index() == 0
    with contextlib.ExitStack() as stack:
        stream = None if lead else stack.enter_context(Path(os.devnull).open("w"))
        console = stack.enter_context(Console(run.stages[-1].end, stream=stream))
        found = checkpoints.newest_checkpoint(workdir / CHECKPOINTS, console.note)
        if found is None:
            checkpoints.refuse_damaged(workdir / CHECKPOINTS)
        else:
            _check_same(run, found)
        state = _first_state(run, found)
        start = int(state.step)
        console.note(describe(run))
        if found is not None:
            console.note(f"resuming from {found.path}")
        if lead:
            begin_workdir(workdir, as_json(config))
        writer = checkpoints.CheckpointWriter(
            workdir / CHECKPOINTS,
            keep=config.keep_checkpoints,
            write_extras=lambda path: run.tokenizer.save(path / TOKENIZER_FOLDER),
        )
        log = RunLog(workdir, console, start, lead=lead, tensorboard=config.tensorboard)
        try:
            with Profiler(profile, workdir / PROFILE_FOLDER) as profiler:
                state = _run_stages(run, state, writer, log, profiler)
        finally:
            writer.close()
            log.close()
        if told := profiler.outcome():
            console.note(told)
    return state


def _check_same(run: Run, found: checkpoints.Checkpoint) -> None:
    """Raises UserError unless `found` is of this run, or of its first steps."""
    lists = {
        "stages": [as_json(settings.stage(""))],
        "evaluations": [as_json(settings.retrieval(""))],
    }
    defaults = as_json(settings.pretraining()) | lists
    before, now = with_defaults(found.run["config"], defaults), as_json(run.config)
    check_dropout(found, max(run.encoder.hidden_dropout, run.encoder.attention_dropout))
    before.pop("dropout_generator", None)  # of runs that drew it in another way
    free = free_settings(before["stages"], now["stages"], found.step)
    check_same_run(
        found,
        before,
        now,
        free_to_change=[*_FREE_TO_CHANGE, *free],
        fingerprints={"corpus_fingerprint": run.corpus.fingerprint},
    )


def _run_stages(
    run: Run,
    state: TrainState,
    writer: checkpoints.CheckpointWriter,
    log: RunLog,
    profiler: Profiler,
) -> TrainState:
    evaluations = [
        _evaluation(build_retrieval(one, run.encoder, run.tokenizer))
        for one in run.config.evaluations
    ]
    with loop.StopRequest().installed() as stop:
        for stage in run.stages:
            start = int(state.step)
            if _evaluation_is_due(run, stage, start):  # unless its record is there
                log.evaluate(evaluations, state, stage.name)
            if start >= stage.end:
                continue
            if start == 0:
                log.save(writer, state, _run_json(run, stage))
            if start == stage.start and start > 0 and stage.settings.reset_optimizer:
                state = _reset_optimizer(run, state)
            plan = BatchPlan(
                corpus=run.corpus,
                rows=stage.rows,
                seed=run.config.seed,
                stage=stage.index,
                process_index=jax.process_index(),
                process_count=jax.process_count(),
            )
            state = loop.run(
                state,
                train_step=_compiled_ahead(run, stage, log.note),
                batches=batches(
                    plan, start=start - stage.start, stop=stage.end - stage.start
                ),
                put_batch=run.backend.put_batch,
                key=run.dropout_key,
                start=start,
                end=stage.end,
                schedule=loop.Schedule(
                    log_every=run.config.log_every,
                    save_every=run.config.save_every,
                    evaluate_every=run.config.evaluate_every,
                    max_skipped_in_a_row=run.config.max_skipped_in_a_row,
                ),
                callbacks=loop.Callbacks(
                    on_train=functools.partial(log.train, stage.name),
                    evaluate=lambda state, _, name=stage.name: log.evaluate(
                        evaluations, state, name
                    ),
                    save=lambda state, stage=stage: log.save(
                        writer, state, _run_json(run, stage)
                    ),
                    count_work=functools.partial(_count_work, run, stage),
                ),
                stop=stop,
                profiler=profiler,
                peak_flops=run.config.peak_tflops * 1e12 * run.backend.num_devices,
            )
            if stop.agreed(ask_others=True):
                writer.wait()
                log.note(f"asked to stop: saved step {int(state.step)}")
                break
    return state


def _evaluation(retrieval: RetrievalEvaluation) -> Evaluation:
    return Evaluation(
        retrieval.name,
        lambda params: retrieval.flat(retrieval.score(params["encoder"])),
    )


def _evaluation_is_due(run: Run, stage: Stage, step: int) -> bool:
    """Returns whether the run has an evaluation of the stage at `step`.

    One that was asked to stop there left it out.
    """
    every = run.config.evaluate_every
    if step == 0:
        return every > 0 and stage.start == 0
    after_start = stage.start < step <= stage.end
    return after_start and loop.evaluation_is_due(step, every, stage.end)


def compile_stage(run: Run, stage: Stage) -> jax.stages.Wrapped:
    """Returns the compiled step of a stage; nothing runs before its first call."""
    weights = {name: stage.settings[name].to_dict() for name in LOSSES}
    mask_key = jax.random.fold_in(run.key, _MASK_KEY)
    objective = objectives.pretraining_objective(
        run.encoder,
        vocabulary(run.tokenizer, run.encoder.vocab_size),
        losses=frozenset(name for name, one in weights.items() if one["weight"]),
        masking_rate=run.config.masking_rate,
        mask_key=jax.random.fold_in(mask_key, stage.index),
        sentence_alignment=objectives.SentenceAlignment(
            **run.config.sentence_alignment
        ),
        word_alignment=objectives.WordAlignment(**run.config.word_alignment),
        shards=run.backend.num_devices if run.config.backend == "jit" else 1,
    )
    rate = build_schedule(
        stage.settings.schedule,
        stage.settings.peak_learning_rate,
        warmup_steps=stage.settings.warmup_steps,
        decay_steps=stage.settings.decay_steps,
        num_steps=stage.settings.num_steps,
    )
    step = functools.partial(
        train_step,
        objective=objective,
        loss_weights=lambda step: loss_weights(weights, step - stage.start),
        learning_rate=lambda step: rate(step - stage.start),
        optimizer=run.optimizer,
        micro_batches=stage.settings.micro_batches,
    )
    return run.backend.compile(step, abstract_state(run))


def _compiled_ahead(run: Run, stage: Stage, note: Callable[[str], None]) -> TrainStep:
    """Returns a stage's step, compiled, and tells how long that took and its memory."""
    begin = time.perf_counter()
    compiled = (
        compile_stage(run, stage)
        .lower(abstract_state(run), abstract_batch(run, stage), run.dropout_key)
        .compile()
    )
    note(f"stage {stage.name}: compiled in {time.perf_counter() - begin:.1f} s")
    memory = compiled.memory_analysis()
    if memory is not None:  # not every back end tells
        note(
            f"stage {stage.name}: besides the state, a step takes "
            f"{memory.temp_size_in_bytes:,} bytes per device"
        )
    allocator.give_back_unused()
    return compiled


def loss_weights(
    losses: Mapping[str, Mapping[str, Any]], step: Array
) -> dict[str, Array]:
    """Returns the weight of every loss that a stage uses at `step` of the stage.

    0 before a loss's `start_step`, then a linear rise over its `warmup_steps`.
    """
    scales = {}
    for name, one in losses.items():
        if one["weight"]:
            since = (step - one["start_step"] + 1).astype(jnp.float32)
            rise = jnp.clip(since / max(one["warmup_steps"], 1), 0.0, 1.0)
            scales[name] = one["weight"] * rise
    return scales


def vocabulary(tokenizer: Tokenizer, size: int) -> objectives.Vocabulary:
    """Returns what the objective needs to know of a tokenizer."""
    special = tokenizer.special
    punctuation = np.zeros(size, bool)
    punctuation[: tokenizer.vocab_size] = tokenizer.punctuation()
    return objectives.Vocabulary(
        special=(special.pad, special.cls, special.sep, special.mask),
        mask_id=special.mask,
        size=tokenizer.vocab_size,
        punctuation=punctuation,
    )


def abstract_state(run: Run) -> TrainState:
    """Returns the state's shapes, types and shardings; allocates nothing."""
    shapes = jax.eval_shape(functools.partial(_new_state, run))
    return abstract_like(shapes, run.backend)


def _new_state(run: Run) -> TrainState:
    params = init_params(run.encoder, init_key(run.config.seed))
    return new_state(params, run.optimizer)


def _first_state(run: Run, found: checkpoints.Checkpoint | None) -> TrainState:
    abstract = abstract_state(run)
    if found is not None:
        return checkpoints.restore_state(found, abstract)
    source = _initial_checkpoint(run)
    shardings = jax.tree.map(lambda x: x.sharding, abstract)
    state = jax.jit(functools.partial(_new_state, run), out_shardings=shardings)()
    if source is None:
        return state
    return state._replace(params=checkpoints.restore_params(source, abstract.params))


def _initial_checkpoint(
    run: Run, note: Callable[[str], None] = print
) -> checkpoints.Checkpoint | None:
    if not run.config.init_checkpoint:
        return None
    return initial_checkpoint(
        Path(run.config.init_checkpoint),
        run.encoder,
        run.tokenizer,
        abstract_state(run).params,
        note,
    )


def _reset_optimizer(run: Run, state: TrainState) -> TrainState:
    shardings = run.backend.place(state.opt_state)
    initial = jax.jit(run.optimizer.init, out_shardings=shardings)(state.params)
    return state._replace(opt_state=initial)


def _count_work(run: Run, stage: Stage, batch: HostBatch) -> Work:
    """Work of the global batch, taking this process's share for everyone's."""
    weights = {name: stage.settings[name].weight for name in LOSSES}
    words, sentences = weights[WORDS], weights[SENTENCES]
    spans = {kind: rows["span_lengths"] for kind, rows in batch.items()}
    total = 0
    if weights[MASKED_LM]:
        total += sum(
            flops.masked_lm(
                run.encoder,
                one,
                row_length=run.corpus.row_length,
                masking_rate=run.config.masking_rate,
            )
            for one in spans.values()
        )
    if "pair" in spans:
        total += flops.directed(
            run.encoder, spans["pair"], sentences=bool(sentences), words=bool(words)
        )
    tokens = sum(int(one.sum()) for one in spans.values())
    return Work(tokens * jax.process_count(), total * jax.process_count())


def _run_json(run: Run, stage: Stage) -> dict[str, Any]:
    return {
        "config": as_json(run.config),
        "encoder": run.encoder.recorded(),
        "stage": stage.name,
        "stage_index": stage.index,
        "dropout": DROPOUT,
        "corpus_fingerprint": run.corpus.fingerprint,
        "tokenizer_fingerprint": run.tokenizer.fingerprint,
        "versions": versions(),
    }


def describe(run: Run) -> str:
    """Returns what the run will do: size, memory, batches and schedule, in lines."""
    state = abstract_state(run)
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    per_device = sum(
        leaf.dtype.itemsize * int(np.prod(leaf.sharding.shard_shape(leaf.shape)))
        for leaf in jax.tree.leaves(state)
    )
    lines = [
        f"parameters {count:,}; {run.encoder.num_layers} layers of "
        f"{run.encoder.hidden_size}, vocabulary {run.encoder.vocab_size:,}",
        f"state per device {per_device:,} bytes (parameters and optimizer), "
        f"{run.backend.num_devices} devices, backend {run.config.backend}"
        f"{' with fsdp' if run.config.fsdp else ''}",
        f"kernels: {run.encoder.kernels}",
    ]
    return "\n".join(lines + [_describe_stage(run, stage) for stage in run.stages])


def _describe_stage(run: Run, stage: Stage) -> str:
    parts = []
    for kind, rows in stage.rows.items():
        streams = run.corpus.streams[kind].values()
        pairs = sum(s.rate * s.pairs / s.rows for s in streams) * rows
        tokens = sum(s.rate * s.real_tokens / s.rows for s in streams) * rows
        parts.append(
            f"{rows} {kind} rows of {run.corpus.row_length} = {pairs:,.0f} pairs = "
            f"{tokens:,.0f} real tokens"
        )
    one = stage.settings
    losses = ", ".join(
        f"{name} x{one[name].weight:g}"
        + (f" from step {one[name].start_step}" if one[name].start_step else "")
        for name in LOSSES
        if one[name].weight
    )
    return (
        f"stage {stage.name}: steps {stage.start + 1:,}-{stage.end:,}; a batch is "
        f"{' and '.join(parts)} in {one.micro_batches} part(s); {losses}; learning "
        f"rate {one.peak_learning_rate:g} after {one.warmup_steps:,} steps, "
        f"{describe_schedule(one.schedule, one.decay_steps)}"
    )


def dry_run(config: ConfigDict, note: Callable[[str], None] = print) -> None:
    """Prints what `pretrain` would do and lowers every stage's step, without training.

    Raises:
        UserError: as `prepare`, or an evaluation cannot be run, or the parameters to
            begin with do not fit.
    """
    run = prepare(config)
    for one in config.evaluations:
        build_retrieval(one, run.encoder, run.tokenizer)
    _initial_checkpoint(run, note)
    note(describe(run))
    state = abstract_state(run)
    for stage in run.stages:
        batch = abstract_batch(run, stage)
        lowered = compile_stage(run, stage).lower(state, batch, run.dropout_key)
        size = len(lowered.as_text())
        note(f"stage {stage.name}: the train step lowers ({size:,} characters)")


def abstract_batch(run: Run, stage: Stage) -> Any:
    """Returns the shapes of the arrays that `put_batch` makes, for all processes."""
    length, pairs = run.corpus.row_length, run.corpus.max_pairs

    def kind(rows: int) -> dict[str, Any]:
        lead = (rows,)
        if run.config.backend == "pmap":
            lead = (run.backend.num_devices, rows // run.backend.num_devices)
        return {
            "token_ids": jax.ShapeDtypeStruct((*lead, length), jnp.int32),
            "span_lengths": jax.ShapeDtypeStruct((*lead, pairs, 2), jnp.int32),
            "row_ids": jax.ShapeDtypeStruct((*lead, 3), jnp.uint32),
        }

    return {name: kind(rows) for name, rows in stage.rows.items()}
