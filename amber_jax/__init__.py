"""AMBER: multilingual encoders whose sentences and words of equal meaning lie together.

Reading order for a newcomer: `types`, `model/rows`, `losses/`, `model/encoder`,
`pretraining/objectives`, `reductions`, `training/step`, `training/parallel`,
`training/loop`, `data/order`, `data/pipeline`, `pretraining/run`, then one file of
`configs/`.
"""

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amber_jax.inference.model import Model

__version__ = "0.1.0"


def load(
    path: str | PathLike[str],
    *,
    kernels: Mapping[str, str] | None = None,
    dtype: str | None = None,
) -> "Model":
    """Returns the model of a folder, see `inference.model.Model`.

        import amber_jax

        model = amber_jax.load("runs/amber")
        vectors = model.encode(["A house.", "Ein Haus."], normalize=True)
        print(vectors @ vectors.T)

    Args:
        path: a run's workdir or one of its checkpoint folders, of pretraining or
            amber convert; of fine-tuning, the `best` folder of a seed; or the folder of
            a BERT or XLM-R as Hugging Face or sentence-transformers write it. A warning
            names every damaged checkpoint that is passed over, and what of a folder
            does not come along.
        kernels: forms of the encoder's arithmetic, such as {"attention": "written"};
            the others are those that suit the device.
        dtype: "float32" or "bfloat16", of activations; None: as trained. Accelerators
            compute faster in bfloat16, and vectors have about three right digits.

    Raises:
        UserError: there is no usable model, or no such form or dtype.
    """
    # Only now JAX and what is built on it.
    from amber_jax.inference.model import load as load_model

    return load_model(path, kernels=kernels, dtype=dtype)
