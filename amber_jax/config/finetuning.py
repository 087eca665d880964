"""Settings of fine-tuning on a task and testing it in every language."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from amber_jax.training.optimizer import OPTIMIZERS
from amber_jax.training.parallel import BACKENDS

TASKS = ("udpos", "xnli", "pawsx")


def finetuning(task: str) -> ConfigDict:
    """Returns the defaults of fine-tuning and testing on a task: XTREME's.

    Source: github.com/google-research/xtreme, scripts/train_*.sh and
    third_party/run_{classify,tag}.py; what is not from there is marked [ours].
    """
    config = ConfigDict()
    config.task = task  # "udpos", "xnli" or "pawsx"
    config.label = ""  # name of the model in tables; empty: the checkpoint's path
    config.seeds = (1,)  # a run for each
    config.untrained = False  # start from random weights: a baseline [ours]

    # Paths or globs below `data`, with {language}; or tfds:NAME[/CONFIG]:SPLIT.
    config.data = ""  # folder
    config.train = "train-{language}.tsv"
    config.dev = "dev-{language}.tsv"  # empty: the last `dev_share` of train
    config.test = "test-{language}.tsv"
    config.train_language = "en"
    config.languages = ()  # tested; a run is chosen by train_language's dev alone
    config.dev_share = 0.1  # of train, if there is no dev [ours]
    config.stand_in = ""  # a sentence, if train is not the benchmark's own
    config.max_train_examples = 0  # first ones; 0: all
    config.syntactic_words = False  # of CoNLL-U: UD's words, not XTREME's tokens

    config.max_length = 128  # tokens of an example, specials included
    config.batch_size = 32  # examples
    config.num_epochs = 5
    config.peak_learning_rate = 2e-5
    config.warmup_steps = 0
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
    config.row_multiple = 4  # rows of a batch; fewer shapes, less compiling [ours]
    config.dtype = ""  # of activations; empty: as pretrained
    config.log_every = 50  # steps
    config.evaluate_every = 500  # steps; dev is scored and a checkpoint saved
    config.max_skipped_in_a_row = 20  # non-finite updates before the run gives up
    config.tensorboard = True
    return config.lock()


def finetuning_problems(config: ConfigDict) -> Iterator[str]:
    """Yields what is wrong with a fine-tuning config."""
    if config.task not in TASKS:
        yield f"task is {config.task!r}, not one of {', '.join(TASKS)}"
    if not config.data and not config.train.startswith("tfds:"):
        yield "data is empty; set --config.data to the folder of the task's files"
    if not config.languages:
        yield "languages is empty; nothing would be tested"
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        yield f"seeds is {tuple(config.seeds)}; wanted at least one, all different"
    if any(seed < 0 for seed in config.seeds):
        yield f"seeds is {tuple(config.seeds)}; wanted none negative"
    if config.backend not in BACKENDS:
        yield f"backend is {config.backend!r}, not one of {', '.join(BACKENDS)}"
    if config.optimizer.name not in OPTIMIZERS:
        yield (
            f"optimizer.name is {config.optimizer.name!r}, "
            f"not one of {', '.join(OPTIMIZERS)}"
        )
    if config.dtype not in ("", "float32", "bfloat16"):
        yield f"dtype is {config.dtype!r}, not float32, bfloat16 or empty"
    if not 0 <= config.dropout < 1:
        yield f"dropout is {config.dropout}, not a probability below 1"
    if not config.dev and not 0 < config.dev_share < 1:
        yield f"dev_share is {config.dev_share}, not between 0 and 1"
    if not 0 < config.peak_learning_rate < 1:
        yield f"peak_learning_rate is {config.peak_learning_rate}, not in (0, 1)"
    if config.max_length < 8:
        yield f"max_length is {config.max_length}; wanted at least 8 tokens"
    for name in ("batch_size", "num_epochs", "row_multiple", "evaluate_every"):
        if config[name] < 1:
            yield f"{name} is {config[name]}, not positive"
    for name in (
        *("warmup_steps", "max_train_examples", "log_every", "num_devices"),
        "train_from_layer",
    ):
        if config[name] < 0:
            yield f"{name} is {config[name]}, negative"
