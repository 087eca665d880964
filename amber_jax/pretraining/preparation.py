"""A config, checked against its corpus and this machine, and what follows from it."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora.records import Corpus, open_corpus
from amber_jax.data.pipeline import check_division, rows_for_pairs
from amber_jax.errors import UserError
from amber_jax.inference.devices import suited_to
from amber_jax.inference.loading import (
    TOKENIZER_FOLDER,
    Initial,
    initial_model,
    settled,
)
from amber_jax.losses import LOSSES
from amber_jax.model.encoder import EncoderConfig
from amber_jax.pretraining import stages
from amber_jax.pretraining.beginning import keeps_pooler, with_initial_sizes
from amber_jax.pretraining.objectives import Vocabulary, loss_options
from amber_jax.pretraining.stages import LossWeight, Objectives, Stage
from amber_jax.storage import location
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.optimizer import build_optimizer
from amber_jax.training.parallel import Backend, build_backend
from amber_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Run:
    """What stays the same through all stages."""

    config: ConfigDict
    corpus: Corpus
    tokenizer: Tokenizer
    encoder: EncoderConfig
    backend: Backend
    optimizer: optax.GradientTransformation
    objectives: Objectives
    stages: tuple[Stage, ...]

    @functools.cached_property
    def abstract_state(self) -> TrainState:
        """The state's shapes, types and shardings."""
        return stages.abstract_state(self.encoder, self.optimizer, self.backend)

    def abstract_batch(self, stage: Stage) -> Any:
        """The shapes of a stage's batches, of all processes."""
        length, pairs = self.corpus.row_length, self.corpus.max_pairs
        return stages.abstract_batch(stage.rows, length, pairs, self.backend)

    def compile(self, stage: Stage) -> jax.stages.Wrapped:
        """The step of a stage; nothing is compiled before it is lowered."""
        return stages.compile_stage(
            stage,
            self.encoder,
            self.objectives,
            backend=self.backend,
            optimizer=self.optimizer,
            seed=self.config.seed,
        )


def prepare(
    config: ConfigDict,
    devices: Sequence[Any] | None = None,
    *,
    workdir: Path | None = None,
    suited: Any = None,
) -> Run:
    """The run that a config describes, checked against its corpus.

    Args:
        config: as `configs/amber_base.py` makes it; the run's has the sizes of its
            init_checkpoint.
        devices: what it runs on; None for every device of every process.
        workdir: of the run, which may have begun; None if it has none.
        suited: the device that the kernels are to suit; None for the first of them.

    Raises:
        UserError: the config, the corpus or their combination is not usable.
    """
    config = with_initial_sizes(config, workdir)
    settings.validate(config)
    corpus = open_corpus(
        location(config.corpus),
        verify=config.verify_corpus,
        cache=config.cache_corpus,
    )
    tokenizer = load_tokenizer(corpus.directory / TOKENIZER_FOLDER)
    if tokenizer.fingerprint != corpus.tokenizer_fingerprint:
        raise UserError(
            f"corpus {corpus.directory}: its tokenizer folder holds "
            f"{tokenizer.fingerprint[:12]}, but its rows were made with "
            f"{corpus.tokenizer_fingerprint[:12]}; build the corpus again"
        )
    if tokenizer.special.separators != corpus.separators:
        raise UserError(
            f"corpus {corpus.directory}: joins pairs with {corpus.separators} "
            f"separators, its tokenizer with {tokenizer.special.separators}; build the "
            "corpus again"
        )
    devices = devices or jax.devices()
    return assemble(config, corpus, tokenizer, devices, suited=suited)


def assemble(
    config: ConfigDict,
    corpus: Corpus,
    tokenizer: Tokenizer,
    devices: Sequence[Any],
    *,
    suited: Any = None,
) -> Run:
    """The run of a valid config; of the corpus only the manifest is read.

    Arguments are those of `prepare`, and what it opens.

    Raises:
        UserError: the config, the corpus and the devices do not go together.
    """
    backend = build_backend(
        config.backend,
        fsdp=config.fsdp,
        num_devices=config.num_devices,
        devices=devices,
    )
    encoder = _encoder_config(config, corpus, tokenizer, suited or devices[0])
    return Run(
        config=config,
        corpus=corpus,
        tokenizer=tokenizer,
        encoder=encoder,
        backend=backend,
        optimizer=build_optimizer(**config.optimizer),
        objectives=Objectives(
            vocabulary=_vocabulary(tokenizer, encoder.vocab_size),
            masking_rate=config.masking_rate,
            options=loss_options(config),
        ),
        stages=_plan_stages(config, corpus, backend),
    )


def parameters_to_begin_with(
    run: Run, note: Callable[[str], None] = print
) -> Initial | None:
    """The model whose parameters the run begins with; None: fresh ones.

    Raises:
        UserError: as `loading.initial_model`.
    """
    if not run.config.init_checkpoint:
        return None
    path = location(run.config.init_checkpoint)
    initial = initial_model(
        settled(path, note), run.encoder, run.tokenizer, run.abstract_state.params, note
    )
    if not initial.has_head:
        note(
            f"{path} has no MLM head; the run gives it one, which begins by comparing "
            "the encoder's vectors themselves with the word embeddings"
        )
    there = dict.fromkeys(name.split("/")[0] for name in initial.run["parameters"])
    taken = {"encoder", "mlm_head"}
    if keeps_pooler(run.config, initial.run):
        taken.add("pooler")
    if left := [part for part in there if part not in taken]:
        note(f"{path}: left behind, as no loss here trains them: {', '.join(left)}")
    return initial


def _encoder_config(
    config: ConfigDict, corpus: Corpus, tokenizer: Tokenizer, device: Any
) -> EncoderConfig:
    sizes = config.model.to_dict()
    sizes["vocab_size"] = sizes["vocab_size"] or tokenizer.vocab_size
    if sizes["vocab_size"] < tokenizer.vocab_size:
        raise UserError(
            f"model.vocab_size is {sizes['vocab_size']}, but the corpus's tokenizer "
            f"has {tokenizer.vocab_size} entries; set it to 0 to take the corpus's"
        )
    encoder = EncoderConfig(**sizes, kernels=suited_to(device, config.kernels))
    needed = corpus.row_length + config.word_alignment.max_position_offset
    if encoder.usable_positions < needed:
        raise UserError(
            f"model.max_positions is {encoder.max_positions}, of which a row can have "
            f"{encoder.usable_positions}, but rows of {corpus.row_length} tokens and "
            f"offsets up to {config.word_alignment.max_position_offset} need {needed}"
        )
    return encoder


def _vocabulary(tokenizer: Tokenizer, size: int) -> Vocabulary:
    special = tokenizer.special
    punctuation = np.zeros(size, bool)
    punctuation[: tokenizer.vocab_size] = tokenizer.punctuation()
    return Vocabulary(
        special=(special.pad, special.cls, special.sep, special.mask),
        mask_id=special.mask,
        words=special.words(tokenizer.vocab_size),
        punctuation=punctuation,
        separators=special.separators,
    )


def _plan_stages(
    config: ConfigDict, corpus: Corpus, backend: Backend
) -> tuple[Stage, ...]:
    planned: list[Stage] = []
    for index, of_stage in enumerate(config.stages):
        start = planned[-1].end if planned else 0
        planned.append(
            Stage(
                index=index,
                name=of_stage.name,
                start=start,
                end=start + of_stage.num_steps,
                rows=_rows(of_stage, config.row_multiple, corpus, backend),
                micro_batches=of_stage.micro_batches,
                losses={
                    name: LossWeight(**of_stage[name])
                    for name in LOSSES
                    if of_stage[name].weight
                },
                schedule=of_stage.schedule,
                peak_learning_rate=of_stage.peak_learning_rate,
                warmup_steps=of_stage.warmup_steps,
                decay_steps=of_stage.decay_steps,
                reset_optimizer=of_stage.reset_optimizer,
            )
        )
    return tuple(planned)


def _rows(
    of_stage: ConfigDict, multiple: int, corpus: Corpus, backend: Backend
) -> dict[str, int]:
    """The rows of each kind in a stage's global batch."""
    wanted = {"mono": of_stage.monolingual_pairs, "pair": of_stage.translation_pairs}
    for kind, pairs in wanted.items():
        if pairs and not corpus.streams[kind]:
            raise UserError(
                f"stage {of_stage.name} wants {kind} rows, but corpus "
                f"{corpus.directory} has none; add such text and build it again"
            )
    rows = {
        kind: rows_for_pairs(corpus.streams[kind], pairs, multiple=multiple)
        for kind, pairs in wanted.items()
        if pairs
    }
    parts = of_stage.micro_batches
    check_division(rows, jax.process_count(), "processes")
    check_division(
        rows,
        backend.num_devices * parts,
        f"devices and micro-batches ({backend.num_devices} x {parts})",
    )
    return rows
