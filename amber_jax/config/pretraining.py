"""Settings of a pretraining run.

Marks: [paper] Hu et al. 2021; [BERT] google-research/bert; [ours] not in the paper.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from amber_jax.config.evaluation import RETRIEVAL_RANGES, retrieval_problems
from amber_jax.config.kernels import KERNEL_RANGES, kernels
from amber_jax.config.optimizer import (
    OPTIMIZER_RANGES,
    SCHEDULE_RANGES,
    schedule_problems,
)
from amber_jax.config.variants import VARIANTS, refuse_variant
from amber_jax.losses import ATTENTION, LOSSES, WORD_FORMS
from amber_jax.ranges import (
    DTYPES,
    INT32_MAX,
    PROBABILITY,
    SEED,
    Choice,
    problems,
    real,
    refuse,
    whole,
)
from amber_jax.training.parallel import BACKENDS

STAGE_RANGES = {
    "name": str,
    "num_steps": whole(1),
    "monolingual_pairs": whole(0, 2**24),
    "translation_pairs": whole(0, 2**24),
    "micro_batches": whole(1, 2**20),
    **SCHEDULE_RANGES,
    "reset_optimizer": bool,
    **dict.fromkeys(
        LOSSES,
        {"weight": real(0, 1e6), "start_step": whole(0), "warmup_steps": whole(0)},
    ),
}
PRETRAINING_RANGES = {
    "seed": SEED,
    **dict.fromkeys(("corpus", "init_checkpoint"), str),
    **dict.fromkeys(("verify_corpus", "cache_corpus", "fsdp", "tensorboard"), bool),
    "backend": Choice(BACKENDS),
    "num_devices": whole(0),
    "row_multiple": whole(1, 2**20),
    "model": {
        "vocab_size": whole(0, 2**24),
        "num_layers": whole(1, 1_000),
        "hidden_size": whole(1, 2**16),
        "num_heads": whole(1, 2**16),
        "intermediate_size": whole(1, 2**20),
        "max_positions": whole(1, 2**20),
        "num_segments": whole(1, 2**10),
        "position_offset": whole(0, 2**20),
        "second_segment": whole(0, 1),
        "layer_norm_epsilon": real(0, 1, without_low=True),
        "hidden_dropout": PROBABILITY,
        "attention_dropout": PROBABILITY,
        "initializer_range": real(0, 1, without_low=True),
        "dtype": DTYPES,
        "remat": bool,
    },
    "kernels": KERNEL_RANGES,
    "masking_rate": real(0, 1, without_low=True, without_high=True),
    "sentence_alignment": {
        **dict.fromkeys(("symmetric", "normalize", "special_tokens"), bool),
        "scale": real(0, 1e4, without_low=True),
        "margin": real(0, 1e4),
    },
    "word_alignment": {
        "form": Choice(WORD_FORMS),
        "layer": whole(-1),
        **dict.fromkeys(("renormalize", "special_tokens", "punctuation"), bool),
        "max_position_offset": whole(0, 2**20),
    },
    "optimizer": OPTIMIZER_RANGES,
    "stages": [STAGE_RANGES],
    **dict.fromkeys(("log_every", "save_every", "evaluate_every"), whole(0)),
    "keep_every": whole(0),
    "trackers": [Choice(("wandb", "mlflow", "trackio"))],
    "keep_checkpoints": whole(2),
    "max_skipped_in_a_row": whole(1),
    "stuck_after": whole(0),
    "peak_tflops": real(0, 1e6),
    "evaluations": [RETRIEVAL_RANGES],
}


def pretraining() -> ConfigDict:
    """The defaults of a pretraining run: mBERT's sizes, no stages yet."""
    config = ConfigDict()
    config.seed = 0
    config.corpus = ""  # folder that amber build_corpus wrote
    config.verify_corpus = True  # sha256 of every shard at the start, about 1 GB/s
    # Of object storage: copy whole shards to this machine's disk first ($AMBER_CACHE);
    # if not, each batch asks for its rows.
    config.cache_corpus = False
    # A model to start from, which decides the sizes below; empty: random parameters
    config.init_checkpoint = ""

    config.backend = "pmap"  # or "jit", the one to take on pods
    config.num_devices = 0  # 0: all
    config.fsdp = False  # under jit: shard parameters and optimizer state
    config.row_multiple = 8  # batches hold a multiple of this many rows of each kind

    config.model = ConfigDict()
    config.model.vocab_size = 0  # entries; 0: the corpus's
    config.model.num_layers = 12  # [paper]
    config.model.hidden_size = 768  # [paper]
    config.model.num_heads = 12  # [paper]
    config.model.intermediate_size = 3072  # [BERT]
    config.model.max_positions = 512  # entries of the table [BERT]
    config.model.num_segments = 2  # entries of the table [BERT]
    config.model.position_offset = 0  # entry of the first position [BERT]; XLM-R: 2
    config.model.second_segment = 1  # of a pair's second side [BERT]; XLM-R: 0
    config.model.layer_norm_epsilon = 1e-12  # [BERT]; XLM-R: 1e-5
    config.model.hidden_dropout = 0.1  # probability [BERT]
    config.model.attention_dropout = 0.1  # probability [BERT]
    config.model.initializer_range = 0.02  # standard deviation [BERT]
    config.model.dtype = "float32"  # of activations; "bfloat16" on accelerators
    config.model.remat = False  # recompute activations to save memory

    config.kernels = kernels()  # forms of the arithmetic; empty: what suits the devices

    config.masking_rate = 0.15  # share of tokens to predict [BERT]

    # Options of losses/sentence_alignment.py. Defaults are the paper's formula.
    config.sentence_alignment = ConfigDict()
    config.sentence_alignment.symmetric = False  # x -> y only [paper]
    config.sentence_alignment.normalize = False  # plain dot product [paper]
    config.sentence_alignment.scale = 1.0  # no temperature [paper]
    config.sentence_alignment.margin = 0.0  # [paper]
    config.sentence_alignment.special_tokens = False  # [CLS], [SEP] in the mean [ours]

    # Options of losses/word_alignment.py. Defaults are the paper's formula.
    config.word_alignment = ConfigDict()
    config.word_alignment.form = ATTENTION  # [paper]; or "similarity", of mutual
    # matches of vectors of `layer`, each side encoded alone, as in awesome-align
    config.word_alignment.layer = -1  # of "similarity", from 1; -1: the last
    config.word_alignment.renormalize = False  # over the other side [ours]
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

    config.log_every = 100  # steps; 0: the last one of each stage alone
    config.save_every = 10_000  # steps; 0: the start and the end of each stage alone
    config.evaluate_every = 10_000  # steps, and at those ends too; 0: never
    config.keep_checkpoints = 3  # newest ones that stay
    config.keep_every = 0  # steps, whose multiples' checkpoints stay too; 0: none
    config.max_skipped_in_a_row = 20  # non-finite updates before the run gives up
    config.stuck_after = 1800  # seconds of a step after which it hangs; 0: never
    config.tensorboard = True
    config.trackers = ()  # of "wandb", "mlflow", "trackio": told the log as well
    config.peak_tflops = 0.0  # of one device in model.dtype; 0: no MFU in the log
    config.evaluations = ()  # of retrieval(), run during training
    return config.lock()


def stage(name: str) -> ConfigDict:
    """The defaults of one stage: masked language modeling, nothing else."""
    config = ConfigDict()
    config.name = name
    config.num_steps = 1_000_000  # [paper]
    # Sentence pairs in the global batch; a text without a neighbor counts as one.
    # Rows are packed: how many hold that many pairs on average follows from the
    # corpus and is printed at the start.
    config.monolingual_pairs = 8192  # neighboring sentences of one text [paper]
    config.translation_pairs = 0
    config.micro_batches = 1  # parts in which a batch is processed, to save memory
    config.peak_learning_rate = 1e-4  # [BERT]
    config.warmup_steps = 10_000  # linear rise to the peak [BERT]
    # What follows: "linear" to 0 at num_steps [BERT], or another of SCHEDULES, of
    # training/optimizer.py. Of these, "constant" and "wsd" can be lengthened.
    config.schedule = "linear"
    config.decay_steps = 0  # last ones, of schedule "wsd" alone
    config.reset_optimizer = True  # forget the moments of the stage before [ours]
    for loss in LOSSES:
        config[loss] = ConfigDict()
        config[loss].weight = 0.0
        config[loss].start_step = 0  # of the stage; the weight is 0 before
        config[loss].warmup_steps = 0  # linear rise to the weight from there
    config.masked_lm.weight = 1.0
    return config.lock()


def as_variant(second: ConfigDict, variant: str) -> ConfigDict:
    """Stage 2 as one of the paper's four rows; each adds to the one before.

    `mlm` goes on with monolingual text, `tlm` adds masked language modeling on
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
    """Raises UserError with all problems of a pretraining config."""
    out_of_range = list(problems(config, PRETRAINING_RANGES))
    refuse("config", out_of_range or _conflicts(config))


def _conflicts(config: ConfigDict) -> Iterator[str]:
    model = config.model
    if not config.corpus:
        yield "corpus is empty; set --config.corpus to a folder of amber build_corpus"
    if model.hidden_size % model.num_heads:
        yield (
            f"model.hidden_size {model.hidden_size} is not divisible by "
            f"model.num_heads {model.num_heads}"
        )
    yield from _word_alignment_conflicts(config.word_alignment, model.num_layers)
    if model.second_segment >= model.num_segments:
        yield (
            f"model.second_segment {model.second_segment} is none of "
            f"{model.num_segments}, counted from 0; raise model.num_segments"
        )
    if not config.stages:
        yield "stages is empty; nothing would be trained"
    if sum(stage.num_steps for stage in config.stages) > INT32_MAX:
        yield f"num_steps of all stages together exceeds {INT32_MAX:,}"
    for index, stage in enumerate(config.stages):
        for problem in _stage_conflicts(stage):
            yield f"stages[{index}] ({stage.name}): {problem}"
    for evaluation in config.evaluations:
        yield from retrieval_problems(evaluation, model.num_layers)
        if evaluation.pooling == "pooler":
            yield (
                f"evaluation {evaluation.name}: pooling is 'pooler', which pretraining "
                "has not; wanted 'mean' or 'first'"
            )


def _word_alignment_conflicts(words: ConfigDict, num_layers: int) -> Iterator[str]:
    name = f"word_alignment.layer is {words.layer}"
    if words.form == ATTENTION:
        if words.layer != -1:
            yield f"{name}, but attention is that of the last layer; leave it -1"
        return
    if words.layer == 0 or words.layer > num_layers:
        yield f"{name}; wanted 1 to {num_layers}, or -1 for the last"
    if words.renormalize or words.max_position_offset:
        yield (
            "word_alignment.renormalize and max_position_offset are of form "
            "'attention'; leave them as they are for 'similarity'"
        )


def _stage_conflicts(stage: ConfigDict) -> Iterator[str]:
    late = [loss for loss in LOSSES if stage[loss].start_step >= stage.num_steps]
    if late:
        yield f"{' and '.join(late)} would start after the stage's end"
    if stage.warmup_steps + stage.decay_steps > stage.num_steps:
        yield (
            f"warmup_steps {stage.warmup_steps} and decay_steps {stage.decay_steps} "
            f"together exceed num_steps {stage.num_steps}"
        )
    yield from schedule_problems(stage)
    if stage.monolingual_pairs + stage.translation_pairs == 0:
        yield "monolingual_pairs and translation_pairs are both 0; no data"
    weights = {loss: stage[loss].weight for loss in LOSSES}
    if not any(weights.values()):
        yield f"loss weights {weights} are all 0"
    aligned = [loss for loss in LOSSES if loss != "masked_lm" and weights[loss]]
    if aligned and not stage.translation_pairs:
        yield f"{' and '.join(aligned)} needs translation_pairs, which is 0"
