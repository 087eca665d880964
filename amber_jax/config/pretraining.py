"""Settings of a pretraining run.

Marks: [paper] Hu et al. 2021; [BERT] google-research/bert; [ours] not in the paper.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from amber_jax.config.evaluation import retrieval_problems
from amber_jax.config.variants import VARIANTS, refuse_variant
from amber_jax.errors import UserError
from amber_jax.model.kernels import FORMS
from amber_jax.objectives import LOSSES
from amber_jax.training.optimizer import OPTIMIZERS
from amber_jax.training.parallel import BACKENDS


def pretraining() -> ConfigDict:
    """Returns the defaults of a pretraining run: mBERT's sizes, no stages yet."""
    config = ConfigDict()
    config.seed = 0
    config.corpus = ""  # folder that launch/build_corpus.py wrote
    config.verify_corpus = True  # sha256 of every shard at the start, about 1 GB/s
    config.init_checkpoint = ""  # parameters to start from; empty: random

    config.backend = "pmap"  # or "jit", which several hosts need
    config.num_devices = 0  # 0: all
    config.fsdp = False  # under jit: shard parameters and optimizer state
    config.row_multiple = 8  # batches hold a multiple of this many rows of each kind

    config.model = ConfigDict()
    config.model.vocab_size = 0  # entries; 0: the corpus's
    config.model.num_layers = 12  # [paper]
    config.model.hidden_size = 768  # [paper]
    config.model.num_heads = 12  # [paper]
    config.model.intermediate_size = 3072  # [BERT]
    config.model.max_positions = 512  # [BERT]
    config.model.num_segments = 2  # [BERT]
    config.model.hidden_dropout = 0.1  # probability [BERT]
    config.model.attention_dropout = 0.1  # probability [BERT]
    config.model.initializer_range = 0.02  # standard deviation [BERT]
    config.model.dtype = "float32"  # of activations; "bfloat16" on accelerators
    config.model.remat = False  # recompute activations to save memory

    # How the encoder is computed, see model/kernels.py; empty: as suits the devices.
    config.kernels = ConfigDict(dict.fromkeys(FORMS, ""))

    config.masking_rate = 0.15  # share of tokens to predict [BERT]

    # Options of losses/sentence_alignment.py. Defaults are the paper's formula.
    config.sentence_alignment = ConfigDict()
    config.sentence_alignment.symmetric = False  # x -> y only [paper]
    config.sentence_alignment.normalise = False  # plain dot product [paper]
    config.sentence_alignment.scale = 1.0  # no temperature [paper]
    config.sentence_alignment.margin = 0.0  # [paper]
    config.sentence_alignment.special_tokens = False  # [CLS], [SEP] in the mean [ours]

    # Options of losses/word_alignment.py. Defaults are the paper's formula.
    config.word_alignment = ConfigDict()
    config.word_alignment.renormalise = False  # over the other side [ours]
    config.word_alignment.special_tokens = False  # [ours]
    config.word_alignment.punctuation = True  # counts like words [ours]
    config.word_alignment.max_position_offset = 0  # positions; 0: none [ours]

    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"  # or "lamb"
    config.optimizer.beta1 = 0.9  # [BERT]
    config.optimizer.beta2 = 0.999  # [BERT]
    config.optimizer.epsilon = 1e-6  # [BERT]
    config.optimizer.weight_decay = 0.01  # kernels and embeddings only [BERT]
    config.optimizer.clip_norm = 1.0  # global norm [BERT]

    config.stages = ()  # of stage()

    config.log_every = 100  # steps, as are the next three; 0: never
    config.save_every = 10_000
    config.evaluate_every = 10_000
    config.keep_checkpoints = 3  # newest ones that stay
    config.max_skipped_in_a_row = 20  # non-finite updates before the run gives up
    config.tensorboard = True
    config.peak_tflops = 0.0  # of one device in model.dtype; 0: no MFU in the log
    config.evaluations = ()  # of retrieval(), run during training
    return config.lock()


def stage(name: str) -> ConfigDict:
    """Returns the defaults of one stage: masked language modelling, nothing else."""
    config = ConfigDict()
    config.name = name
    config.num_steps = 1_000_000  # [paper]
    # Sentence pairs in the global batch; a text without a neighbour counts as one.
    # Rows are packed: how many hold that many pairs on average follows from the
    # corpus and is printed at the start.
    config.monolingual_pairs = 8192  # neighbouring sentences of one text [paper]
    config.translation_pairs = 0
    config.micro_batches = 1  # parts in which a batch is processed, to save memory
    config.peak_learning_rate = 1e-4  # [BERT]
    config.warmup_steps = 10_000  # linear, then linear decay to 0 [BERT]
    config.reset_optimizer = True  # forget the moments of the stage before [ours]
    for loss in LOSSES:
        config[loss] = ConfigDict()
        config[loss].weight = 0.0
        config[loss].start_step = 0  # of the stage; the weight is 0 before
        config[loss].warmup_steps = 0  # linear rise to the weight from there
    config.masked_lm.weight = 1.0
    return config.lock()


def as_variant(second: ConfigDict, variant: str) -> ConfigDict:
    """Returns stage 2 as one of the paper's four rows; each adds to the one before.

    `mlm` goes on with monolingual text, `tlm` adds masked language modelling on
    translation pairs, `wa` the word-alignment and `sa` the sentence-alignment loss.
    """
    if variant not in VARIANTS:
        refuse_variant(variant, VARIANTS)
    with second.unlocked():
        if variant == "mlm":
            second.monolingual_pairs += second.translation_pairs
            second.translation_pairs = 0
        if variant in ("wa", "sa"):
            second.word_alignment.weight = 1.0
        if variant == "sa":
            second.sentence_alignment.weight = 1.0
    return second


def validate(config: ConfigDict) -> None:
    """Raises UserError with everything that is wrong with a pretraining config."""
    found = list(_problems(config))
    if found:
        raise UserError("config: " + "; ".join(found))


def _problems(config: ConfigDict) -> Iterator[str]:
    model = config.model
    if not config.corpus:
        yield "corpus is empty; set --config.corpus to a folder of build_corpus.py"
    for name, forms in FORMS.items():
        if config.kernels[name] not in ("", *forms):
            yield (
                f"kernels.{name} is {config.kernels[name]!r}, "
                f"not one of {', '.join(forms)} or empty"
            )
    if config.backend not in BACKENDS:
        yield f"backend is {config.backend!r}, not one of {', '.join(BACKENDS)}"
    if config.optimizer.name not in OPTIMIZERS:
        yield (
            f"optimizer.name is {config.optimizer.name!r}, "
            f"not one of {', '.join(OPTIMIZERS)}"
        )
    if model.dtype not in ("float32", "bfloat16"):
        yield f"model.dtype is {model.dtype!r}, not float32 or bfloat16"
    if model.hidden_size % model.num_heads:
        yield (
            f"model.hidden_size {model.hidden_size} is not divisible by "
            f"model.num_heads {model.num_heads}"
        )
    for name in ("num_layers", "hidden_size", "num_heads", "intermediate_size"):
        if model[name] < 1:
            yield f"model.{name} is {model[name]}, not positive"
    for name in ("hidden_dropout", "attention_dropout"):
        if not 0 <= model[name] < 1:
            yield f"model.{name} is {model[name]}, not a probability below 1"
    if not 0 < config.masking_rate < 1:
        yield f"masking_rate is {config.masking_rate}, not between 0 and 1"
    if config.seed < 0 or config.row_multiple < 1 or config.keep_checkpoints < 2:
        yield "seed must not be negative, row_multiple not 0, keep_checkpoints not < 2"
    every = (config.log_every, config.save_every, config.evaluate_every)
    if min(*every, config.optimizer.clip_norm) < 0:
        yield "log_every, save_every, evaluate_every and clip_norm must not be negative"
    if config.word_alignment.max_position_offset < 0:
        yield "word_alignment.max_position_offset is negative"
    if config.peak_tflops < 0:
        yield f"peak_tflops is {config.peak_tflops}, negative"
    if config.max_skipped_in_a_row < 1:
        yield f"max_skipped_in_a_row is {config.max_skipped_in_a_row}, not positive"
    if not config.stages:
        yield "stages is empty; nothing would be trained"
    for number, one in enumerate(config.stages):
        for problem in _stage_problems(one):
            yield f"stages[{number}] ({one.name}): {problem}"
    for one in config.evaluations:
        yield from retrieval_problems(one, model.num_layers)


def _stage_problems(one: ConfigDict) -> Iterator[str]:
    if one.num_steps < 1 or one.micro_batches < 1:
        yield "num_steps and micro_batches must be positive"
    late = [loss for loss in LOSSES if one[loss].start_step >= one.num_steps]
    if late:
        yield f"{' and '.join(late)} would start after the stage's end"
    if one.warmup_steps < 0:
        yield f"warmup_steps is {one.warmup_steps}, negative"
    if one.warmup_steps > one.num_steps:
        yield f"warmup_steps {one.warmup_steps} exceeds num_steps {one.num_steps}"
    if not 0 < one.peak_learning_rate < 1:
        yield f"peak_learning_rate is {one.peak_learning_rate}, not between 0 and 1"
    if one.monolingual_pairs < 0 or one.translation_pairs < 0:
        yield "monolingual_pairs and translation_pairs must not be negative"
    if one.monolingual_pairs + one.translation_pairs == 0:
        yield "monolingual_pairs and translation_pairs are both 0; no data"
    weights = {loss: one[loss].weight for loss in LOSSES}
    if not all(weight >= 0 for weight in weights.values()) or not any(weights.values()):
        yield f"loss weights {weights} must not be negative and not all 0"
    aligned = [loss for loss in LOSSES if loss != "masked_lm" and weights[loss]]
    if aligned and not one.translation_pairs:
        yield f"{' and '.join(aligned)} needs translation_pairs, which is 0"
