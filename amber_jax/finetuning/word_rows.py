"""Training of those rows of the word embeddings alone that a training set touches.

A vocabulary for a hundred languages makes up most of a model, and a batch in one of
them touches a few hundred of its rows. Gradients and optimizer memory of all others are
0, step after step, so a step that takes their weight decay off them does to every
parameter what a step with all rows does.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.data.labeled import Labeled, Rows
from amber_jax.training.state import TrainState
from amber_jax.training.step import Metrics, TrainStep
from amber_jax.types import Array, Batch

_TABLE = ("encoder", "embeddings", "word", "embedding")


@dataclasses.dataclass(frozen=True, eq=False)
class WordRows:
    """The rows of the word embeddings [V, D] that have gradients and optimizer memory.

    Parameters are whole wherever they are kept. A tree is narrow if it has these N rows
    alone in the table's place, as the parameters inside a step and the optimizer's
    memory between steps.
    """

    pieces: np.ndarray  # [N] int32, ascending
    vocab_size: int  # V
    decay: float  # that a step takes off every other row, as a share of learning rate

    def renumbered(self, batch: Mapping[str, Rows]) -> dict[str, Rows]:
        """Returns a batch whose token_ids count among the rows.

        Raises:
            ValueError: a token is of another row.
        """
        return {name: self._renumbered(rows) for name, rows in batch.items()}

    def _renumbered(self, rows: Rows) -> Rows:
        token_ids = rows["token_ids"]
        numbers = np.searchsorted(self.pieces, token_ids).astype(np.int32)
        if not np.array_equal(self.pieces.take(numbers, mode="clip"), token_ids):
            raise ValueError("a batch has pieces that the training set does not have")
        return rows | {"token_ids": numbers}

    def narrow(self, tree: Any) -> Any:
        """Returns a tree like parameters or optimizer memory, with these rows alone."""
        return _at_tables(self._chosen, tree)

    def widen(self, tree: Any) -> Any:
        """Returns a narrow tree with all rows; those that it lacks are 0."""

        def whole(rows: Array) -> Array:
            return self._replaced(jnp.zeros((self.vocab_size, rows.shape[1])), rows)

        return _at_tables(whole, tree)

    def step(self, narrow_step: TrainStep) -> TrainStep:
        """Returns the step of a state with whole parameters and narrow memory.

        Args:
            narrow_step: that of a state which is narrow in both.
        """

        def step(
            state: TrainState, batch: Batch, key: Array, **options: Any
        ) -> tuple[TrainState, Metrics]:
            narrow = state._replace(params=self.narrow(state.params))
            after, metrics = narrow_step(narrow, batch, key, **options)
            was_applied = after.skipped == state.skipped
            rate = jnp.where(was_applied, metrics["learning_rate"], 0.0)

            def whole(before: Array, rows: Array) -> Array:
                return self._replaced(self._decayed(before, rate), rows)

            params = _at_tables(whole, state.params, after.params)
            return after._replace(params=params), metrics

        return step

    def _decayed(self, table: Array, rate: Array) -> Array:
        # In the optimizer's own order, so that rounding is the same.
        return table - rate * (self.decay * table) if self.decay else table

    def _chosen(self, table: Array) -> Array:
        return table if self._are_all() else table.at[self.pieces].get(**_EXACT)

    def _replaced(self, table: Array, rows: Array) -> Array:
        return rows if self._are_all() else table.at[self.pieces].set(rows, **_EXACT)

    def _are_all(self) -> bool:
        return len(self.pieces) == self.vocab_size


_EXACT: dict[str, Any] = {
    "indices_are_sorted": True,
    "unique_indices": True,
    "mode": "promise_in_bounds",
}


def _at_tables(function: Callable[..., Any], *trees: Any) -> Any:
    """Returns the last tree, with `function` of all trees' leaves at word embeddings.

    These are of the parameters, or of what an optimizer keeps for each of them.
    """

    def changed(path: tuple[Any, ...], *leaves: Any) -> Any:
        names = tuple(getattr(entry, "key", None) for entry in path[-len(_TABLE) :])
        return function(*leaves) if names == _TABLE else leaves[-1]

    return jax.tree_util.tree_map_with_path(changed, *trees)


def touched_rows(
    examples: Iterable[Labeled],
    special: Iterable[int],
    *,
    vocab_size: int,
    decay: float | None,
) -> WordRows:
    """Returns the rows of the pieces that training on examples touches.

    Args:
        examples: the training set.
        special: pieces that rows have besides those of their examples.
        vocab_size: of the model.
        decay: as `training.optimizer.decay_without_gradient` returns it; None: what an
            update does to a row depends on all others, so all are trained.
    """
    if decay is None:
        return WordRows(np.arange(vocab_size, dtype=np.int32), vocab_size, 0.0)
    pieces = set(special)
    for example in examples:
        pieces.update(example.src_ids, example.tgt_ids)
    return WordRows(np.array(sorted(pieces), np.int32), vocab_size, decay)
