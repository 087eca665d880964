"""What a run takes over from the model that it begins with, its parameters aside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.config.renamed import migrated
from amber_jax.errors import UserError
from amber_jax.inference.loading import MAY_DIFFER, encoder_at
from amber_jax.storage import location
from amber_jax.training.agreement import decided_by_first
from amber_jax.training.workdir import begun_config


def with_initial_sizes(config: ConfigDict, workdir: Path | None) -> ConfigDict:
    """The config with `model` as its init_checkpoint has it, if it names one.

    Sizes come from there; dropout, dtype and the like stay the config's. A run that has
    begun keeps the sizes that it began with, and no longer needs that model.

    Args:
        config: of a pretraining run.
        workdir: of the run, or None for one that has not begun.

    Raises:
        UserError: there is no such model, the config sets a size to neither the
            default nor the model's, or the folder holds a run of another kind.
    """
    if not config.init_checkpoint:
        return config
    defaults = settings.pretraining().model
    sizes = decided_by_first(lambda: _initial_sizes(config, workdir))
    sizes = {**defaults, **sizes}
    decided = {name: sizes[name] for name in defaults if name not in MAY_DIFFER}
    contradicted = [
        f"{name} is {value} there and {config.model[name]} here"
        for name, value in decided.items()
        if config.model[name] not in (value, defaults[name])
    ]
    if contradicted:
        raise UserError(
            f"init_checkpoint {config.init_checkpoint} is of another encoder than the "
            f"config's model: {'; '.join(contradicted)}; leave them out, as it decides "
            "the sizes"
        )
    resolved = config.copy_and_resolve_references()
    with resolved.unlocked():
        resolved.model.update(decided)
    return resolved.lock()


def _initial_sizes(config: ConfigDict, workdir: Path | None) -> dict[str, Any]:
    """Returns the sizes that the run began with, or those of its init_checkpoint."""
    stored = begun_config(workdir) if workdir else None
    if stored is None:
        return encoder_at(location(config.init_checkpoint)).recorded()
    model = migrated(stored).get("model")
    if not isinstance(model, Mapping):
        raise UserError(
            f"{workdir}: its config.json has no model, so it holds a run that is no "
            "pretraining; give another --workdir"
        )
    return dict(model)


def sentences_as_before(
    config: ConfigDict, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """What run.json says of sentences: what the model did that the run goes on from.

    Their vector is the sentence-alignment loss's own if there is one in the run.

    Args:
        config: of the run.
        origin: run.json of the model.
    """
    names = {"sentence_vector", "encoding"}
    if any(stage.sentence_alignment.weight for stage in config.stages):
        names.remove("sentence_vector")
    return {name: origin[name] for name in names & origin.keys()}


def keeps_pooler(config: ConfigDict, origin: Mapping[str, Any]) -> bool:
    """Whether sentences' vectors stay those of a pooler, which no loss trains.

    Arguments as of `sentences_as_before`.
    """
    vector = sentences_as_before(config, origin).get("sentence_vector", {})
    return vector.get("pooling") == "pooler"
