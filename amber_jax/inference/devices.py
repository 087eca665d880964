"""What suits a machine, and how work is spread over it; nothing below asks it."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from amber_jax.errors import UserError
from amber_jax.model.kernels import FORMS, Kernels
from amber_jax.types import Array, Params

_AXIS = "rows"  # of the devices that encode together
# Measured with 12 layers of 384: with 1,024 tokens a layer takes a tenth longer for
# each of them, with 8,192 twice as long, because results no longer fit the caches, and
# come in memory that the system gives and takes back.
_TOKENS_OF_A_CPU = 512
_OLDEST_CAPABILITY = 8.0  # Ampere's, the first with bfloat16


def suited_to(device: Any, wanted: Mapping[str, str] | None = None) -> Kernels:
    """The forms that suit a device.

    Args:
        device: one of the devices that the program runs on, see `jax.devices`.
        wanted: forms that are taken whatever the device is; "" leaves it the choice.

    Raises:
        UserError: there is no such form.
    """
    chosen = {name: form for name, form in (wanted or {}).items() if form}
    for name, form in chosen.items():
        if form not in FORMS.get(name, ()):
            forms = "; ".join(f"{name}: {', '.join(of)}" for name, of in FORMS.items())
            raise UserError(f"kernels has {name}={form}; wanted some of {forms}")
    return dataclasses.replace(_suited_to(device), **chosen)


def _suited_to(device: Any) -> Kernels:
    if device.platform == "cpu":
        return Kernels(tall_gradients="turned", products="wide", scores="striped")
    if device.platform == "tpu":
        return Kernels(attention="mosaic", heads="together")
    attention = "triton" if _capability(device) >= _OLDEST_CAPABILITY else "written"
    return Kernels(attention=attention, heads="together")


def _capability(device: Any) -> float:
    """NVIDIA's compute capability, 0 on other makers' GPUs."""
    try:
        return float(getattr(device, "compute_capability", "0"))
    except ValueError:
        return 0.0


def tokens_at_once(device: Any, *, most: int) -> int:
    """The tokens, padding included, that a device encodes together: `most`, or fewer.

    Args:
        device: as of `suited_to`.
        most: that memory is wanted for.
    """
    return min(most, _TOKENS_OF_A_CPU) if device.platform == "cpu" else most


def on_all_devices(params: Params, *, of_all_processes: bool = False) -> Params:
    """The parameters as every device has them, so that rows are divided.

    Args:
        params: the same ones in every process.
        of_all_processes: whether they all compute the same things together; else the
            devices are those of this process.
    """
    devices = jax.devices() if of_all_processes else jax.local_devices()
    if len(devices) == 1:
        return params
    mesh = Mesh(np.array(devices), (_AXIS,), axis_types=(AxisType.Auto,))
    whole = NamedSharding(mesh, PartitionSpec())
    if whole.is_fully_addressable:
        return jax.device_put(params, whole)
    return jax.tree.map(lambda x: _placed(np.asarray(x), whole), params)


def _placed(array: np.ndarray, sharding: NamedSharding) -> Array:
    """An array that all processes have, divided over devices of all."""
    return jax.make_array_from_callback(
        array.shape, sharding, lambda index: array[index]
    )


def on_host(array: Array) -> np.ndarray:
    """An array as NumPy's, rows of other processes' devices included."""
    if array.is_fully_addressable:
        return np.asarray(array)
    return multihost_utils.process_allgather(array, tiled=True)


def holders(params: Params) -> list[Any]:
    """The devices that hold parameters, see `on_all_devices`."""
    mesh = _mesh(params)
    return jax.local_devices()[:1] if mesh is None else list(mesh.devices.flat)


@contextlib.contextmanager
def divided_rows(params: Params) -> Iterator[Callable[[np.ndarray], Array]]:
    """Gives a function that divides an array's rows over the holders of `params`.

    Inside the block a program is traced for them, see `kernels.attention`.
    """
    mesh = _mesh(params)
    if mesh is None:
        yield jax.numpy.asarray
        return
    rows = NamedSharding(mesh, PartitionSpec(_AXIS))
    with jax.set_mesh(mesh):
        if rows.is_fully_addressable:
            yield lambda array: jax.device_put(array, rows)
        else:
            yield lambda array: _placed(array, rows)


def _mesh(params: Params) -> Mesh | None:
    for leaf in jax.tree.leaves(params):
        sharding = getattr(leaf, "sharding", None)
        of_several = isinstance(sharding, NamedSharding) and sharding.mesh.size > 1
        return sharding.mesh if of_several and _AXIS in sharding.mesh.shape else None
    return None
