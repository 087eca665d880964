"""Fine-tuning, wired: a checkpoint and English examples in, zero-shot scores out.

The step is chosen by English dev alone; running the same command again goes on where
it stopped.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from amber_jax.files import write_json
from amber_jax.finetuning import zero_shot
from amber_jax.finetuning.preparation import Note, Setup, prepare
from amber_jax.finetuning.seed import train_seed
from amber_jax.inference.loading import load_model
from amber_jax.training.optimizer import describe_schedule
from amber_jax.training.workdir import RESULTS


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
        if not train_seed(setup, seed, folder):
            return []
        results.append(_test(setup, seed, folder))
        note("\n" + zero_shot.as_table(results[-1]))
    write_json(workdir / RESULTS, {"results": results})
    if len(results) > 1:
        note("\n" + spread(results))
    return results


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
        f"kernels: {setup.model.config.kernels}",
    ]
    if config.stand_in:
        lines.append(f"stand-in training set: {config.stand_in}")
    return "\n".join(lines)


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
