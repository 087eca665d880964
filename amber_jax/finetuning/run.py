"""Fine-tuning, wired: a checkpoint and English examples in, zero-shot scores out.

The step is chosen by English dev alone; running the same command again goes on where
it stopped.
"""

from pathlib import Path

from ml_collections import ConfigDict

from amber_jax.evaluation.results import FineTuned, write_results
from amber_jax.finetuning import zero_shot
from amber_jax.finetuning.preparation import Setup, prepare
from amber_jax.finetuning.seed import compile_step, train_seed
from amber_jax.inference.loading import load_model
from amber_jax.report.terminal import results_as_text
from amber_jax.training.agreement import done_by_first, is_first, silent
from amber_jax.training.checkpoint import Note
from amber_jax.training.optimizer import describe_schedule
from amber_jax.training.workdir import RESULTS


def finetune(
    config: ConfigDict, checkpoint: Path, workdir: Path, *, note: Note = print
) -> list[FineTuned]:
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
    if not is_first():
        note = silent
    setup = prepare(config, checkpoint, note=note)
    note(describe(setup))
    step = compile_step(setup, note)
    results = []
    for seed in config.seeds:
        folder = workdir / f"seed-{seed}"
        if not train_seed(setup, step, seed, folder):
            return []
        results.append(_test(setup, folder, note))
        note("\n" + results_as_text(results[-1:]))
    done_by_first(lambda: write_results(workdir / RESULTS, results))
    if len(results) > 1:
        note("\n" + results_as_text(results))
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


def _test(setup: Setup, folder: Path, note: Note) -> FineTuned:
    result = zero_shot.score_model(
        setup.labeler,
        load_model(folder / zero_shot.BEST, note=note),
        setup.examples.tests,
        config=setup.config,
        output=folder,
    )
    done_by_first(lambda: write_results(folder / RESULTS, [result]))
    return result
