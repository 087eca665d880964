"""Fine-tuning, wired: a checkpoint and English examples in, zero-shot scores out.

The same step, back ends, loop and checkpoints as pretraining. The step is chosen by
English dev alone; running the same command again goes on where it stopped.
"""

import dataclasses
import functools
import hashlib
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.data.labelled import Labelled, steps_per_epoch, training_batches
from amber_jax.datasets.examples import Read
from amber_jax.errors import UserError
from amber_jax.files import write_json
from amber_jax.finetuning import zero_shot
from amber_jax.finetuning.labelling import (
    CROSS_ENTROPY,
    init_labelling,
    labelling_objective,
)
from amber_jax.finetuning.task import Task, build_task, refuse_unknown_labels
from amber_jax.inference.loading import TOKENIZER_FOLDER, LoadedModel, load_model
from amber_jax.model import flops
from amber_jax.model.encoder import at_or_above
from amber_jax.model.heads import LabellingModel
from amber_jax.ranges import refuse
from amber_jax.training import checkpoint as checkpoints
from amber_jax.training import loop
from amber_jax.training.clock import Work
from amber_jax.training.console import Console
from amber_jax.training.log import Evaluation, RunLog
from amber_jax.training.manifest import MANIFEST
from amber_jax.training.optimizer import (
    acting_on,
    build_optimizer,
    build_schedule,
    describe_schedule,
)
from amber_jax.training.parallel import (
    Backend,
    abstract_like,
    build_backend,
    on_one_device,
)
from amber_jax.training.profile import Profiler
from amber_jax.training.state import TrainState, new_state
from amber_jax.training.step import train_step
from amber_jax.training.workdir import (
    CHECKPOINTS,
    DROPOUT,
    RESULTS,
    as_json,
    begin_workdir,
    check_dropout,
    check_same_run,
    versions,
    with_defaults,
)
from amber_jax.types import Params

DEV = "dev"
_HEAD_KEY, _DROPOUT_KEY = 0, 2
_COMMONEST = "commonest_label"  # of a dev record: the share of one label; 1: constant
_NOT_TRANSLATED = "training pairs without translation (NS)"
_FREE_TO_CHANGE = (
    *("backend", "num_devices", "fsdp", "log_every", "tensorboard", "label", "seeds"),
    *("languages", "test", "data", "stand_in", "max_skipped_in_a_row"),
)
Note = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Examples:
    """What a task is trained, chosen and tested on."""

    train: Sequence[Any]
    dev: Sequence[Any]
    tests: Mapping[str, Read]  # by language
    files: Sequence[str]  # of train
    first_only: int  # max_train_examples, if train has more; else 0
    dropped: Mapping[str, int]  # reason -> rows left out, of all files

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 of what training and choosing see."""
        digest = hashlib.sha256()
        for example in (*self.train, None, *self.dev):
            digest.update(json.dumps(example).encode() + b"\n")
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all seeds of a fine-tuning share."""

    config: ConfigDict
    task: Task
    pretrained: LoadedModel
    model: LabellingModel
    labeller: zero_shot.Labeller
    examples: Examples
    backend: Backend
    optimizer: Any

    @property
    def num_steps(self) -> int:
        """Updates of one seed."""
        of_epoch = steps_per_epoch(len(self.examples.train), self.config.batch_size)
        return self.config.num_epochs * of_epoch


def finetune(
    config: ConfigDict, checkpoint: Path, workdir: Path, *, note: Note = print
) -> list[dict[str, Any]]:
    """Returns one result per seed; [] if SIGTERM or SIGINT asked to stop before.

    Each seed has a folder of its own in `workdir`, with its log, checkpoints, the
    best one as `best`, and predictions; results.json holds them all.

    Args:
        config: as `configs/xnli.py` makes it.
        checkpoint: the pretrained model: a run's workdir or one of its checkpoints.
        workdir: the folder.
        note: called with sentences worth telling.

    Raises:
        UserError: a setting, the checkpoint or the data cannot be used.
    """
    setup = prepare(config, checkpoint, note=note)
    note(describe(setup))
    results = []
    for seed in config.seeds:
        folder = workdir / f"seed-{seed}"
        if not _train(setup, seed, folder):
            return []
        results.append(_test(setup, seed, folder))
        note("\n" + zero_shot.as_table(results[-1]))
    write_json(workdir / RESULTS, {"results": results})
    if len(results) > 1:
        note("\n" + spread(results))
    return results


def prepare(config: ConfigDict, checkpoint: Path, *, note: Note) -> Setup:
    """Returns everything that a fine-tuning needs, checked.

    Raises:
        UserError: as `finetune`.
    """
    problems = list(settings.finetuning_problems(config))
    if jax.process_count() > 1:
        problems.append(f"fine-tuning is for one process, not {jax.process_count()}")
    refuse("config", problems)
    task = build_task(config.task, syntactic_words=config.syntactic_words)
    pretrained = load_model(checkpoint, untrained=config.untrained, note=note)
    encoder = dataclasses.replace(
        pretrained.config,
        hidden_dropout=config.dropout,
        attention_dropout=config.dropout,
        dtype=config.dtype or pretrained.config.dtype,
    )
    if config.max_length > encoder.max_positions:
        raise UserError(
            f"max_length is {config.max_length}, but {checkpoint} has "
            f"{encoder.max_positions} positions; lower --config.max_length"
        )
    lowest = config.train_from_layer
    if lowest > encoder.num_layers + 1:
        raise UserError(
            f"train_from_layer is {lowest}, but {checkpoint} has {encoder.num_layers} "
            f"layers; {encoder.num_layers + 1} trains the task's head alone"
        )
    model = zero_shot.build_model(task, encoder)
    setup = Setup(
        config=config,
        task=task,
        pretrained=pretrained,
        model=model,
        labeller=zero_shot.build_labeller(
            task, model, pretrained.tokenizer, max_length=config.max_length
        ),
        examples=read_examples(config, task),
        backend=build_backend(
            config.backend, fsdp=config.fsdp, num_devices=config.num_devices
        ),
        optimizer=acting_on(
            functools.partial(at_or_above, lowest=lowest),
            build_optimizer(**config.optimizer),
        ),
    )
    if config.warmup_steps + config.decay_steps > setup.num_steps:
        raise UserError(
            f"warmup_steps {config.warmup_steps} and decay_steps {config.decay_steps} "
            f"together exceed the {setup.num_steps} steps of {config.num_epochs} epochs"
        )
    return setup


def read_examples(config: ConfigDict, task: Task) -> Examples:
    """Returns the task's examples of all languages.

    Raises:
        UserError: a file is missing or wrong, or training labels are unknown.
    """
    tests = zero_shot.read_tests(config, task)
    reads = list(tests.values())

    def read(pattern: str) -> Any:
        place = zero_shot.source(config, pattern)
        reads.append(task.read(place, config.train_language))
        return reads[-1]

    training = read(config.train)
    usable = [one for one in training.examples if task.is_translated(one)]
    train = usable[: config.max_train_examples or None]
    first_only = len(train) if len(train) < len(usable) else 0
    if config.dev:
        dev = read(config.dev).examples
    else:
        kept = len(train) - max(1, round(config.dev_share * len(train)))
        train, dev = train[:kept], train[kept:]
    if not train or not dev:
        raise UserError(
            f"{', '.join(training.files)}: {len(train)} examples to train on and "
            f"{len(dev)} to choose by; wanted at least one of each"
        )
    refuse_unknown_labels(task, train, training.files)
    dropped: dict[str, int] = {}
    for one in reads:
        for reason, count in one.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    untranslated = len(training.examples) - len(usable)
    if untranslated:
        dropped[_NOT_TRANSLATED] = untranslated
    return Examples(train, dev, tests, training.files, first_only, dropped)


def describe(setup: Setup) -> str:
    """Returns what will be done: examples, steps and size, in lines."""
    config, examples = setup.config, setup.examples
    dropped = ", ".join(f"{n:,} {why}" for why, n in sorted(examples.dropped.items()))
    lines = [
        f"{config.task}: {len(examples.train):,} {config.train_language} examples to "
        f"train on, {len(examples.dev):,} to choose by; "
        f"tests in {len(examples.tests)} languages"
        + (f"; left out: {dropped}" if dropped else ""),
        f"{setup.num_steps:,} steps of {config.batch_size} examples "
        f"({config.num_epochs} epochs), dev every {config.evaluate_every:,} steps, "
        f"from {setup.pretrained.checkpoint.path}"
        + (" (random weights instead)" if config.untrained else ""),
        f"learning rate {config.peak_learning_rate:g} after {config.warmup_steps:,} "
        f"steps, {describe_schedule(config.schedule, config.decay_steps)}",
    ]
    if config.stand_in:
        lines.append(f"stand-in training set: {config.stand_in}")
    return "\n".join(lines)


def _train(setup: Setup, seed: int, folder: Path) -> bool:
    """Trains one seed and writes its best checkpoint; returns False if stopped."""
    config = setup.config
    with Console(setup.num_steps) as console:
        found = checkpoints.newest_checkpoint(folder / CHECKPOINTS, console.note)
        if found is None:
            checkpoints.refuse_damaged(folder / CHECKPOINTS)
        else:
            _check_same(setup, seed, found)
            console.note(f"resuming from {found.path}")
        state = _first_state(setup, seed, found)
        begin_workdir(folder, _seed_config(setup, seed))
        log = RunLog(
            folder, console, int(state.step), lead=True, tensorboard=config.tensorboard
        )
        writer = checkpoints.CheckpointWriter(
            folder / CHECKPOINTS,
            keep=2,
            write_extras=_write_extras(setup),
            keep_too=lambda: best_step(log.evaluated),
        )
        try:
            state = _run_steps(setup, seed, state, writer, log)
            writer.wait()
        finally:
            writer.close()
            log.close()
        if int(state.step) < setup.num_steps or best_step(log.evaluated) is None:
            log.note(f"asked to stop: saved step {int(state.step)}")
            return False
        best = log.evaluated[best_step(log.evaluated), DEV]
        if best.get(_COMMONEST, 0) == 1 and len(setup.examples.dev) > 1:
            log.note(
                f"dev: at step {best['step']}, the best, every prediction is the same "
                "label; the training has collapsed"
            )
        _keep_best(setup, seed, folder, best)
    return True


def best_step(evaluated: Mapping[tuple[int, str], Mapping[str, Any]]) -> int | None:
    """Returns the step with the best dev score, the first of equals; None: no score."""
    scores = {
        step: record["average"]
        for (step, name), record in evaluated.items()
        if name == DEV
    }
    return max(scores, key=lambda step: (scores[step], -step)) if scores else None


def _run_steps(
    setup: Setup,
    seed: int,
    state: TrainState,
    writer: checkpoints.CheckpointWriter,
    log: RunLog,
) -> TrainState:
    config = setup.config
    start, end = int(state.step), setup.num_steps
    encoded_dev = setup.labeller.encode(setup.examples.dev)
    dev = Evaluation(DEV, lambda params: _score_dev(setup, params, encoded_dev))
    if start == end or (start and loop.is_due(start, config.evaluate_every)):
        # A run that was asked to stop there left it out.
        log.evaluate([dev], state, config.task)
    if start == end:
        return state
    encoded = setup.labeller.encode(setup.examples.train)
    rate = build_schedule(
        config.schedule,
        config.peak_learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=config.decay_steps,
        num_steps=end,
    )
    step = functools.partial(
        train_step,
        objective=labelling_objective(
            setup.model, train_from_layer=config.train_from_layer
        ),
        loss_weights=lambda _: {CROSS_ENTROPY: jnp.float32(1.0)},
        learning_rate=rate,
        optimizer=setup.optimizer,
    )
    run_json = _run_json(setup, seed)
    with loop.StopRequest().installed() as stop:
        return loop.run(
            state,
            train_step=setup.backend.compile(step, _abstract_state(setup)),
            batches=training_batches(
                encoded,
                setup.labeller.shape,
                batch_size=config.batch_size,
                seed=seed,
                start=start,
                stop=end,
                multiple=math.lcm(config.row_multiple, setup.backend.num_devices),
            ),
            put_batch=setup.backend.put_batch,
            key=jax.random.fold_in(jax.random.key(seed), _DROPOUT_KEY),
            start=start,
            end=end,
            schedule=loop.Schedule(
                log_every=config.log_every,
                save_every=config.evaluate_every,
                evaluate_every=config.evaluate_every,
                max_skipped_in_a_row=config.max_skipped_in_a_row,
            ),
            callbacks=loop.Callbacks(
                on_train=functools.partial(log.train, config.task),
                evaluate=lambda state, _: log.evaluate([dev], state, config.task),
                save=lambda state: log.save(writer, state, run_json),
                count_work=functools.partial(
                    _count_work, setup.model, config.train_from_layer
                ),
            ),
            stop=stop,
            profiler=Profiler(None, Path()),
            peak_flops=0.0,
        )


def _count_work(
    model: LabellingModel, train_from_layer: int, batch: Mapping[str, Any]
) -> Work:
    one = batch["labelled"]
    total = flops.labelling(
        model.config,
        one["span_lengths"],
        num_slots=int((one["label_weights"] > 0).sum()),
        num_labels=model.num_labels,
        pooled=model.pooled,
        train_from_layer=train_from_layer,
    )
    return Work(int(one["span_lengths"].sum()), total)


def _score_dev(
    setup: Setup, params: Params, encoded: Sequence[Labelled]
) -> dict[str, float]:
    dev = setup.examples.dev
    predicted = setup.labeller.predict_encoded(params, dev, encoded)
    scores = setup.task.score(dev, predicted)
    return {
        **scores,
        _COMMONEST: zero_shot.commonest_share(predicted),
        "average": scores[setup.task.metric],
    }


def _first_state(
    setup: Setup, seed: int, found: checkpoints.Checkpoint | None
) -> TrainState:
    if found is not None:
        return checkpoints.restore_state(found, _abstract_state(setup))
    key = jax.random.fold_in(jax.random.key(seed), _HEAD_KEY)
    params = init_labelling(setup.model, setup.pretrained.params, key)
    shardings = setup.backend.place(_new_state_shapes(setup))
    # Copied, because the step gives its input's memory away and seeds share the start.
    return jax.jit(
        lambda tree: new_state(jax.tree.map(jnp.copy, tree), setup.optimizer),
        out_shardings=shardings,
    )(jax.tree.map(np.asarray, params))


def _new_state_shapes(setup: Setup) -> TrainState:
    def build() -> TrainState:
        key = jax.random.key(0)
        params = init_labelling(setup.model, setup.pretrained.params, key)
        return new_state(params, setup.optimizer)

    return jax.eval_shape(build)


def _abstract_state(setup: Setup) -> TrainState:
    return abstract_like(_new_state_shapes(setup), setup.backend)


def _write_extras(setup: Setup) -> Callable[[Path], None]:
    return lambda path: setup.pretrained.tokenizer.save(path / TOKENIZER_FOLDER)


def _seed_config(setup: Setup, seed: int) -> dict[str, Any]:
    return as_json(setup.config) | {"seed": seed}


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
    manifest = setup.pretrained.checkpoint.path / MANIFEST
    return {
        "pretrained_fingerprint": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        "examples_fingerprint": setup.examples.fingerprint,
    }


def _check_same(setup: Setup, seed: int, found: checkpoints.Checkpoint) -> None:
    defaults = as_json(settings.finetuning(setup.config.task))
    check_dropout(found, setup.config.dropout)
    check_same_run(
        found,
        with_defaults(found.run["config"], defaults),
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
        checkpoints.find_checkpoint(folder / CHECKPOINTS / str(step)),
        _abstract_state(setup).params,
    )
    selection = {
        "metric": setup.task.metric,
        "score": record["average"],
        "step": step,
    }
    train = {
        "files": [Path(file).name for file in examples.files],
        "examples": len(examples.train),
        "first_only": examples.first_only,
        "stand_in": config.stand_in,
    }
    counted = setup.task.learned_by_counting(examples.train)

    def write_extras(path: Path) -> None:
        _write_extras(setup)(path)
        write_json(path / zero_shot.COUNTED, counted)

    checkpoints.save_params(
        folder / zero_shot.BEST,
        on_one_device(params),
        _run_json(setup, seed) | {"step": step, "selection": selection, "train": train},
        write_extras=write_extras,
    )


def _test(setup: Setup, seed: int, folder: Path) -> dict[str, Any]:
    result = zero_shot.score_model(
        setup.labeller,
        load_model(folder / zero_shot.BEST),
        setup.examples.tests,
        config=setup.config,
        output=folder,
    )
    write_json(folder / RESULTS, {"results": [result]})
    return result


def spread(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns mean and standard deviation over the seeds, by language, in lines.

    The baselines beside them are shares of right answers, the same for every seed.
    """
    first = results[0]
    metrics = list(first["average"])
    names = list(next(iter(first["baseline_accuracy"].values())))
    columns = [*metrics, *(f"{name} acc." for name in names)]
    baselines = first["baseline_accuracy"]
    rows = [
        (language, [one["scores"][language] for one in results], baselines[language])
        for language in first["scores"]
    ]
    averages = [one["average"] for one in results]
    rows.append(("average", averages, zero_shot.average(baselines)))
    lines = [
        f"{first['name']}, in %, {len(results)} seeds: mean ± s.d.",
        *zero_shot.training_remarks(first),
        f"{'language':<10}" + "".join(f"{column:>19}" for column in columns),
    ]
    for label, scores, shares in rows:
        cells = [_mean_and_deviation([one[name] for one in scores]) for name in metrics]
        cells += [f"{100 * shares[name]:.1f}" for name in names]
        lines.append(f"{label:<10}" + "".join(f"{cell:>19}" for cell in cells))
    return "\n".join(lines)


def _mean_and_deviation(shares: Sequence[float]) -> str:
    mean, deviation = statistics.mean(shares), statistics.stdev(shares)
    return f"{100 * mean:.1f} ± {100 * deviation:.1f}"
