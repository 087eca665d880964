"""Ways to run the one step on several devices: `pmap`, and `jit` over a mesh.

In both, the state keeps its logical shape; only its placement differs.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from amber_jax.errors import UserError
from amber_jax.reductions import AXIS
from amber_jax.training.state import TrainState

BACKENDS = ("pmap", "jit")
# On GPUs XLA would try products in Triton, fused with the work before and behind them.
# The libraries' win them all, but what was fused is then computed apart: no bias in the
# product, and GELU once more for the backward pass. The trials are most of compiling.
_COMPILER_OPTIONS = {"gpu": {"xla_gpu_enable_triton_gemm": False}}


class Backend(NamedTuple):
    """How states and batches get onto devices and steps get compiled."""

    num_devices: int
    shards: int  # devices whose rows a step sees together: all if the state is sharded
    compile: Callable[[Callable[..., Any], Any], jax.stages.Wrapped]  # of (step, state)
    place: Callable[[Any], Any]  # tree -> shardings of its leaves
    put_batch: Callable[[Any], Any]  # this process's rows -> device arrays
    batch_like: Callable[[Any], Any]  # shapes of all rows -> shapes of those arrays


def build_backend(
    name: str, *, fsdp: bool, num_devices: int, devices: Sequence[Any] | None = None
) -> Backend:
    """Returns the back end `name` over the first `num_devices` devices (0: all).

    Args:
        name: `pmap` or `jit`.
        fsdp: under jit, shard parameters and optimizer state over the devices.
        num_devices: 0 for all of `devices`.
        devices: None for every device of every process.
    """
    if name not in BACKENDS:
        raise UserError(f"backend is {name!r}; choose one of {', '.join(BACKENDS)}")
    devices = (devices or jax.devices())[: num_devices or None]
    if num_devices > len(devices):
        raise UserError(
            f"num_devices is {num_devices} but {len(devices)} devices are visible; "
            "lower it or set it to 0 for all of them"
        )
    if num_devices and jax.process_count() > 1:
        raise UserError(
            f"num_devices is {num_devices} with {jax.process_count()} processes; "
            "set it to 0, every process takes part with all its devices"
        )
    mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
    if name == "jit":
        return _sharded_backend(mesh) if fsdp else _replicated_backend(mesh)
    if fsdp:
        raise UserError("fsdp is true with backend pmap; sharded states need jit")
    # With several processes `pmap` returns each of them a state of its own, which
    # neither a checkpoint nor the next step takes as that of all.
    return _replicated_backend(mesh) if jax.process_count() > 1 else _pmap_backend(mesh)


def _replicated(mesh: Mesh, tree: Any) -> Any:
    return jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), tree)


def _pmap_backend(mesh: Mesh) -> Backend:
    devices = mesh.devices.tolist()
    per_device = NamedSharding(mesh, PartitionSpec(AXIS))

    def compile_step(step: Callable[..., Any], _: Any) -> jax.stages.Wrapped:
        if mesh.size > 1:  # a sum over one device is a copy
            step = functools.partial(step, axis_name=AXIS)
        # State in and out unmapped: no leading device axis anywhere else.
        return jax.pmap(
            step,
            axis_name=AXIS,
            in_axes=(None, 0, None),
            out_axes=None,
            devices=devices,
            donate_argnums=0,
        )

    def shape_on_devices(x: Any) -> tuple[int, ...]:
        return len(devices), x.shape[0] // len(devices), *x.shape[1:]

    def put_batch(batch: Any) -> Any:
        return jax.tree.map(
            lambda x: jax.device_put(x.reshape(shape_on_devices(x)), per_device), batch
        )

    def batch_like(batch: Any) -> Any:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(shape_on_devices(x), x.dtype), batch
        )

    return Backend(
        num_devices=len(devices),
        shards=1,
        compile=compile_step,
        place=functools.partial(_replicated, mesh),
        put_batch=put_batch,
        batch_like=batch_like,
    )


def _replicated_backend(mesh: Mesh) -> Backend:
    """Maps the step as `pmap` does, by `shard_map`: all processes share its arrays.

    The step itself sums gradients over the devices, each once. Divided by the compiler
    it would have the word table's summed for each of its uses, before they are added.
    """
    rows, whole = PartitionSpec(AXIS), PartitionSpec()
    placed_rows, placed_whole = (NamedSharding(mesh, spec) for spec in (rows, whole))

    def compile_step(step: Callable[..., Any], _: Any) -> jax.stages.Wrapped:
        if mesh.size > 1:  # a sum over one device is a copy
            step = jax.shard_map(
                functools.partial(step, axis_name=AXIS),
                mesh=mesh,
                in_specs=(whole, rows, whole),
                out_specs=(whole, whole),
                check_vma=False,  # else it would sum gradients once more
            )
        return jax.jit(
            step,
            in_shardings=(placed_whole, placed_rows, placed_whole),
            out_shardings=placed_whole,
            donate_argnums=0,
            compiler_options=_compiler_options(mesh),
        )

    return Backend(
        num_devices=mesh.size,
        shards=1,
        compile=compile_step,
        place=functools.partial(_replicated, mesh),
        put_batch=_put_rows(mesh),
        batch_like=lambda batch: batch,
    )


def _put_rows(mesh: Mesh) -> Callable[[Any], Any]:
    """Returns what divides the rows of this process over its devices in the mesh."""
    rows = NamedSharding(mesh, PartitionSpec(AXIS))
    return functools.partial(
        jax.tree.map, lambda x: jax.make_array_from_process_local_data(rows, x)
    )


def _compiler_options(mesh: Mesh) -> dict[str, Any] | None:
    return _COMPILER_OPTIONS.get(mesh.devices.flat[0].platform)


def _sharded_backend(mesh: Mesh) -> Backend:
    """Leaves it to the compiler to divide the step, and the state with it."""
    rows = NamedSharding(mesh, PartitionSpec(AXIS))
    whole = NamedSharding(mesh, PartitionSpec())

    def place(tree: Any) -> Any:
        return jax.tree.map(lambda x: _shard_widest(mesh, x), tree)

    def compile_step(step: Callable[..., Any], state: TrainState) -> jax.stages.Wrapped:
        shardings = place(state)

        def train_step(*args: Any) -> Any:
            # Kernels that the compiler cannot divide ask for the mesh.
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return step(*args)

        return jax.jit(
            train_step,
            in_shardings=(shardings, rows, whole),
            out_shardings=(shardings, whole),
            donate_argnums=0,
            compiler_options=_compiler_options(mesh),
        )

    return Backend(
        num_devices=mesh.size,
        shards=mesh.size,
        compile=compile_step,
        place=place,
        put_batch=_put_rows(mesh),
        batch_like=lambda batch: batch,
    )


def _shard_widest(mesh: Mesh, x: Any) -> NamedSharding:
    """Shards the widest axis that the devices divide; whole if there is none."""
    divisible = [axis for axis, size in enumerate(x.shape) if size % mesh.size == 0]
    if not divisible:
        return NamedSharding(mesh, PartitionSpec())
    widest = max(divisible, key=lambda axis: x.shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * widest, AXIS))


def put_own_rows(backend: Backend, batch: Any) -> Any:
    """Returns device arrays of a batch that all processes have, each its own rows."""
    count, index = jax.process_count(), jax.process_index()
    return backend.put_batch(jax.tree.map(lambda x: np.split(x, count)[index], batch))


def abstract_like(shapes: Any, backend: Backend) -> Any:
    """Returns ShapeDtypeStructs with the shardings that the back end gives them."""
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        backend.place(shapes),
    )


def build_in_place(build: Callable[..., Any], backend: Backend, *arguments: Any) -> Any:
    """The state that `build` makes of arrays, made where the back end keeps it."""
    shardings = backend.place(jax.eval_shape(build, *arguments))
    return jax.jit(build, out_shardings=shardings)(*arguments)


def on_one_device(params: Any) -> Any:
    """Returns parameters as one local device's, so that work is not done once a device.

    Sharded ones are gathered first; every process takes part in that.
    """

    def whole(leaf: Any) -> NamedSharding:
        return NamedSharding(leaf.sharding.mesh, PartitionSpec())

    if not all(leaf.is_fully_replicated for leaf in jax.tree.leaves(params)):
        params = jax.jit(lambda x: x, out_shardings=jax.tree.map(whole, params))(params)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), params)
