"""Settings of fine-tuning on a task and testing it in every language."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from amber_jax.config.kernels import KERNEL_RANGES, kernels
from amber_jax.config.optimizer import (
    OPTIMIZER_RANGES,
    SCHEDULE_RANGES,
    schedule_problems,
)
from amber_jax.ranges import (
    DTYPES,
    PROBABILITY,
    SEED,
    Choice,
    problems,
    real,
    refuse,
    whole,
)
from amber_jax.tasks import FINE_TUNED, TASKS
from amber_jax.training.parallel import BACKENDS

FINETUNING_RANGES = {
    "task": Choice(FINE_TUNED),
    **dict.fromkeys(("label", "data", "train", "dev", "test"), str),
    **dict.fromkeys(("train_language", "stand_in"), str),
    **dict.fromkeys(("untrained", "syntactic_words", "fsdp", "tensorboard"), bool),
    "seeds": [SEED],
    "languages": [str],
    "dev_share": real(0, 1, without_low=True, without_high=True),
    **dict.fromkeys(("max_train_examples", "max_test_examples"), whole(0)),
    "max_length": whole(8, 2**20),
    "batch_size": whole(1, 2**20),
    "num_epochs": whole(1, 1_000),
    **SCHEDULE_RANGES,
    "train_from_layer": whole(0),
    "dropout": PROBABILITY,
    "optimizer": OPTIMIZER_RANGES,
    "backend": Choice(BACKENDS),
    "num_devices": whole(0),
    "row_multiple": whole(1, 2**20),
    "dtype": Choice(("", *DTYPES.words)),
    "kernels": KERNEL_RANGES,
    "log_every": whole(0),
    "evaluate_every": whole(1),
    "max_skipped_in_a_row": whole(1),
    "stuck_after": whole(0),
}


def finetuning(task: str) -> ConfigDict:
    """Returns the defaults of fine-tuning and testing on a task: XTREME's.

    Source: github.com/google-research/xtreme, scripts/train_*.sh and
    third_party/run_{classify,tag}.py; what is not from there is marked [ours].
    """
    refuse("config", problems(task, Choice(FINE_TUNED), "task"))
    config = ConfigDict()
    config.task = task  # one of FINE_TUNED, in amber_jax/tasks.py
    config.label = ""  # name of the model in tables; empty: the checkpoint's path
    config.seeds = (1,)  # a run for each
    config.untrained = False  # start from random weights: a baseline [ours]

    # Paths or globs below `data`, with {language}; or tfds:NAME[/CONFIG]:SPLIT.
    config.data = ""  # folder
    config.train = "train-{language}.tsv*"
    config.dev = "dev-{language}.tsv*"  # empty: the last `dev_share` of train
    config.test = "test-{language}.tsv*"
    config.train_language = TASKS[task].train_language
    # Tested; a run is chosen by train_language's dev alone.
    config.languages = TASKS[task].languages
    config.dev_share = 0.1  # of train, if there is no dev [ours]
    config.stand_in = ""  # a sentence, if train is not the benchmark's own
    config.max_train_examples = 0  # first ones; 0: all
    config.max_test_examples = 0  # first ones of each language; 0: all [ours]
    config.syntactic_words = False  # of udpos: UD's words, not XTREME's tokens

    config.max_length = 128  # tokens of an example, specials included
    config.batch_size = 32  # examples
    config.num_epochs = 5
    config.peak_learning_rate = 2e-5
    config.warmup_steps = 0
    config.schedule = "linear"  # or another of training/optimizer.py's SCHEDULES
    config.decay_steps = 0  # last ones, of schedule "wsd" alone
    # Lowest layer that learns: 0 all; 1 the embeddings stay as pretrained, n + 1 also
    # the n lowest layers, which keeps languages aligned that English would part [ours].
    # Source: Wu and Dredze 2019, arXiv 1904.09077.
    config.train_from_layer = 0
    config.dropout = 0.1  # probability, hidden and attention [BERT]
    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"
    config.optimizer.beta1 = 0.9
    config.optimizer.beta2 = 0.999
    config.optimizer.epsilon = 1e-8
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0

    config.backend = "pmap"
    config.num_devices = 0  # 0: all
    config.fsdp = False
    config.row_multiple = 2  # rows of a batch; fewer shapes, less compiling [ours]
    config.dtype = ""  # of activations; empty: as pretrained
    config.kernels = kernels()  # forms of the arithmetic; empty: what suits the devices
    config.log_every = 50  # steps; 0: the last one alone
    config.evaluate_every = 500  # steps; dev is scored and a checkpoint saved
    config.max_skipped_in_a_row = 20  # non-finite updates before the run gives up
    config.stuck_after = 1800  # seconds of a step after which it hangs; 0: never
    config.tensorboard = True
    return config.lock()


def finetuning_problems(config: ConfigDict) -> Iterator[str]:
    """Yields what is wrong with a fine-tuning config."""
    yield from list(problems(config, FINETUNING_RANGES)) or _conflicts(config)


def _conflicts(config: ConfigDict) -> Iterator[str]:
    if not config.data and not config.train.startswith("tfds:"):
        yield "data is empty; set --config.data to the folder of the task's files"
    if not config.languages:
        yield "languages is empty; nothing would be tested"
    if config.syntactic_words and config.task != "udpos":
        yield "syntactic_words is True, but only udpos has such words; leave it False"
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        yield f"seeds is {tuple(config.seeds)}; wanted at least one, all different"
    yield from schedule_problems(config)
