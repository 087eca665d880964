"""Training and prediction of labels, whatever they stand for.

Classification and tagging differ in how examples become ids and slots
(`classification`, `tagging`); from there on they are one.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.data.labeled import Labeled, RowShape, prediction_batches
from amber_jax.inference.devices import (
    divided_rows,
    holders,
    on_host,
    tokens_at_once,
)
from amber_jax.losses.masked_lm import cross_entropy
from amber_jax.model import rows
from amber_jax.model.encoder import apply
from amber_jax.model.frozen import without_gradient_below
from amber_jax.model.heads import LabelingModel
from amber_jax.model.kernels.dropout import row_seeds
from amber_jax.types import (
    Array,
    Batch,
    Objective,
    Params,
    WeightedSum,
    independent,
)

CROSS_ENTROPY, ACCURACY = "cross_entropy", "accuracy"
_ROWS_PER_BATCH = 32  # of prediction, at most

Predictor = Callable[[Params, Batch], Array]


def labeling_objective(model: LabelingModel, *, train_from_layer: int = 0) -> Objective:
    """Returns the objective of fine-tuning: cross entropy in nats, and accuracy.

    Batches are {"labeled": rows} as `data/labeled.py` makes them. Parameters below
    layer `train_from_layer` have no gradient.
    """

    def terms(
        params: Params, batch: Batch, key: Array, *, train: bool
    ) -> dict[str, WeightedSum]:
        labeled = batch["labeled"]
        params = without_gradient_below(params, train_from_layer)
        seeds = row_seeds(key, labeled["row_ids"]) if train else None
        logits = _logits(model, params, labeled, seeds)
        weights, labels = labeled["label_weights"], labeled["labels"]
        losses = cross_entropy(logits, labels) * weights
        hits = (logits.argmax(-1) == labels) * weights
        return {
            CROSS_ENTROPY: WeightedSum(losses.sum(), weights.sum()),
            ACCURACY: WeightedSum(hits.sum(), weights.sum()),
        }

    return independent(terms)


def _logits(
    model: LabelingModel,
    params: Params,
    batch: dict[str, Array],
    seeds: Array | None,
) -> Array:
    token_ids = batch["token_ids"]
    place = rows.layout(batch["span_lengths"], token_ids.shape[1])
    return apply(
        model,
        params,
        token_ids,
        place.sides,
        place.position_ids,
        rows.full_attention(place),
        batch["slots"],
        seeds=seeds,
    )


def build_predictor(model: LabelingModel) -> Predictor:
    """Returns a compiled `(params, rows) -> labels` [B, S] int32."""

    @jax.jit
    def predict(params: Params, batch: dict[str, Array]) -> Array:
        return _logits(model, params, batch, None).argmax(-1)

    return predict


def predict_labels(
    predictor: Predictor,
    params: Params,
    examples: Sequence[Labeled],
    shape: RowShape,
) -> list[list[int]]:
    """Returns the predicted labels of each example, one for each of its slots.

    Rows are divided over the devices that hold `params`, see `devices.on_all_devices`.
    """
    predicted: list[list[int]] = [[] for _ in examples]
    pending: list[tuple[Array, np.ndarray, Sequence[int]]] = []

    def take(labels: Array, is_slot: np.ndarray, indices: Sequence[int]) -> None:
        in_order = iter(on_host(labels)[is_slot].tolist())
        for index in indices:
            predicted[index] = [next(in_order) for _ in examples[index].slots]

    most = _ROWS_PER_BATCH * shape.row_length
    devices = holders(params)
    rows_of_each = max(1, tokens_at_once(devices[0], most=most) // shape.row_length)
    for batch, indices in prediction_batches(
        examples, shape, rows_per_batch=rows_of_each * len(devices)
    ):
        with divided_rows(params) as divided:
            labels = predictor(params, jax.tree.map(divided, batch))
        # The device has the next batch before the host reads this one's labels.
        pending.append((labels, batch["label_weights"] > 0, indices))
        if len(pending) > 1:
            take(*pending.pop(0))
    for last in pending:
        take(*last)
    return predicted


def init_labeling(model: LabelingModel, pretrained: Params, key: Array) -> Params:
    """Returns parameters to fine-tune: a pretrained encoder under a fresh head.

    A pooler that was pretrained too is kept, if the model has one; a head never is.
    """
    ids = jnp.zeros((1, 8), jnp.int32)
    place = rows.layout(jnp.array([[[4, 4]]]), ids.shape[1])
    parts = ("encoder", "pooler") if model.pooled else ("encoder",)
    kept = {part: pretrained[part] for part in parts if part in pretrained}

    def fresh(key: Array) -> Params:
        params = model.init(
            key,
            ids,
            place.sides,
            place.position_ids,
            rows.full_attention(place),
            jnp.zeros((1, 1), jnp.int32),
        )["params"]
        return {part: params[part] for part in params if part not in kept}

    # What is kept is not drawn first.
    return {**jax.jit(fresh)(key), **kept}
