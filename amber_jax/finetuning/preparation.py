"""A fine-tuning config, checked against its checkpoint, its data and this machine."""

import dataclasses
import functools
from pathlib import Path

import jax
import optax
from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.data.labeled import Labeled, steps_per_epoch
from amber_jax.errors import UserError
from amber_jax.finetuning import zero_shot
from amber_jax.finetuning.examples import Examples, read_examples
from amber_jax.finetuning.labeling import init_labeling
from amber_jax.finetuning.word_rows import WordRows, touched_rows
from amber_jax.inference.loading import LoadedModel, load_model, settled
from amber_jax.model.frozen import at_or_above
from amber_jax.model.heads import LabelingModel
from amber_jax.ranges import refuse
from amber_jax.tasks import TASKS, Task
from amber_jax.training.checkpoint import Note
from amber_jax.training.optimizer import (
    acting_on,
    build_optimizer,
    decay_without_gradient,
)
from amber_jax.training.parallel import Backend, abstract_like, build_backend
from amber_jax.training.state import TrainState, new_state


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all seeds of a fine-tuning share."""

    config: ConfigDict
    task: Task
    pretrained: LoadedModel
    model: LabelingModel
    labeler: zero_shot.Labeler
    examples: Examples
    backend: Backend
    optimizer: optax.GradientTransformation
    untouched_decay: float | None  # of word embeddings, as `touched_rows` takes it

    @property
    def num_steps(self) -> int:
        """Updates of one seed."""
        of_epoch = steps_per_epoch(len(self.examples.train), self.config.batch_size)
        return self.config.num_epochs * of_epoch

    @functools.cached_property
    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of the state in checkpoints."""

        def build() -> TrainState:
            key = jax.random.key(0)
            params = init_labeling(self.model, self.pretrained.params, key)
            return new_state(params, self.optimizer)

        return abstract_like(jax.eval_shape(build), self.backend)

    @functools.cached_property
    def word_rows(self) -> WordRows:
        """The rows of the word embeddings that training touches."""
        return touched_rows(
            self.encoded_train,
            self.labeler.shape.special.ids(),
            vocab_size=self.model.config.vocab_size,
            decay=self.untouched_decay,
        )

    @functools.cached_property
    def encoded_train(self) -> list[Labeled]:
        """The training examples as ids."""
        return self.labeler.encode(self.examples.train)

    @functools.cached_property
    def encoded_dev(self) -> list[Labeled]:
        """The examples to choose by as ids."""
        return self.labeler.encode(self.examples.dev)


def prepare(config: ConfigDict, checkpoint: Path, *, note: Note) -> Setup:
    """Returns everything that a fine-tuning needs, checked.

    Raises:
        UserError: as `finetune`.
    """
    refuse("config", settings.finetuning_problems(config))
    task = TASKS[config.task]
    pretrained = load_model(
        settled(checkpoint, note),
        untrained=config.untrained,
        kernels=config.kernels,
        note=note,
    )
    encoder = dataclasses.replace(
        pretrained.config,
        hidden_dropout=config.dropout,
        attention_dropout=config.dropout,
        dtype=config.dtype or pretrained.config.dtype,
    )
    if config.max_length > encoder.usable_positions:
        raise UserError(
            f"max_length is {config.max_length}, but {checkpoint} has "
            f"{encoder.usable_positions} positions; lower --config.max_length"
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
        labeler=zero_shot.build_labeler(
            task, model, pretrained.tokenizer, max_length=config.max_length
        ),
        examples=read_examples(config),
        backend=build_backend(
            config.backend, fsdp=config.fsdp, num_devices=config.num_devices
        ),
        optimizer=acting_on(
            functools.partial(at_or_above, lowest=lowest),
            build_optimizer(**config.optimizer),
        ),
        untouched_decay=0.0
        if lowest > 0
        else decay_without_gradient(
            config.optimizer.name, config.optimizer.weight_decay
        ),
    )
    if config.warmup_steps + config.decay_steps > setup.num_steps:
        raise UserError(
            f"warmup_steps {config.warmup_steps} and decay_steps {config.decay_steps} "
            f"together exceed the {setup.num_steps} steps of {config.num_epochs} epochs"
        )
    return setup
