"""TPU slices that are only described: what a chip can do, and devices to compile for.

Nothing runs on them, and no TPU is needed. libtpu is what the extra `tpu` installs.

Source: docs.cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, key specifications;
v4's interconnect from Jouppi et al. 2023, arXiv 2304.01433, Table 4.
"""

import importlib.util
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from amber_jax.errors import UserError

_HOST = (2, 2, 1)  # chips of a host, along each axis, unless told otherwise
CHIPS_OF_A_HOST = math.prod(_HOST)
# libtpu looks for the machine that it is on, and there is none.
_NO_MACHINE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-256",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # another process may be compiling as well
}


class Chip(NamedTuple):
    """A chip's limits, as its maker says."""

    peak: float  # FLOP/s of bfloat16 products
    bandwidth: float  # bytes/s between HBM and the cores
    memory: float  # bytes of HBM
    interconnect: float  # bytes/s that go to other chips

    @property
    def platform(self) -> str:
        """What JAX calls such devices."""
        return "tpu"

    @property
    def intensity(self) -> float:
        """FLOPs for every byte from HBM, below which memory is what bounds."""
        return self.peak / self.bandwidth


CHIPS = {
    "v4": Chip(275e12, 1200e9, 32 * 2**30, 300e9),
    "v5e": Chip(197e12, 819e9, 16e9, 200e9),
    "v5p": Chip(459e12, 2765e9, 95e9, 600e9),
    "v6e": Chip(918e12, 1600e9, 32e9, 400e9),
}
# Source: JAX, jax/_src/pallas/mosaic/tpu_info.py.
_KINDS = {
    "TPU v4": "v4",
    **dict.fromkeys(("TPU v5 lite", "TPU v5e"), "v5e"),
    **dict.fromkeys(("TPU v5", "TPU v5p"), "v5p"),
    **dict.fromkeys(("TPU v6 lite", "TPU v6e"), "v6e"),
}
_AXES = {"v4": 3, "v5e": 2, "v5p": 3, "v6e": 2}  # of a slice's shape


def chip_of(device: Any) -> Chip | None:
    """Returns what a device of JAX's can do, by its kind; None if that is no TPU's."""
    name = _KINDS.get(device.device_kind)
    return None if name is None else CHIPS[name]


class Slice(NamedTuple):
    """Described devices, and what each of them can do."""

    name: str
    devices: Sequence[Any]
    device: Chip  # of v4, whose two cores are devices of their own, half a chip


def emulate(count: int) -> None:
    """Makes JAX see `count` devices, all of them this machine's processor.

    Raises:
        UserError: JAX has begun with other devices.
    """
    try:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        raise UserError(f"{count} devices cannot be emulated: {error}") from error


def squarest(chip: str, count: int) -> str:
    """The name of the most square or cubic slice of `count` chips, as `v5e:16x16`.

    Raises:
        UserError: slices do not come in this size.
    """
    exponent, axes = count.bit_length() - 1, _AXES[chip]
    if count != 2**exponent:
        raise UserError(
            f"{count} chips are no slice; wanted a power of two, as {2**exponent}"
        )
    sizes = [2 ** ((exponent + axis) // axes) for axis in range(axes)]
    sizes.sort(reverse=1 in sizes)  # v5p:2x2x1, but v5p:2x4x4 and v5e:4x8
    return f"{chip}:{'x'.join(map(str, sizes))}"


def described(name: str) -> Slice:
    """The slice that a name as `v5e:4x4` or `v5p:2x2x1` describes.

    Raises:
        UserError: libtpu is not there, or knows no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "libtpu is not installed, which compiles for TPUs; run this in an "
            "environment that `pip install .[tpu]` was run in"
        )
    chip, _, shape = name.partition(":")
    if chip not in CHIPS or not shape.replace("x", "").isdigit():
        raise UserError(
            f"there is no slice {name!r}; wanted a chip of {', '.join(CHIPS)} and the "
            "slice's shape, as v5e:4x4 or v5p:2x2x1"
        )
    os.environ.update(_NO_MACHINE)
    from jax.experimental import topologies

    sizes = [int(size) for size in shape.split("x")]
    chips = math.prod(sizes)
    host = [min(size, most) for size, most in zip(sizes, _HOST, strict=False)]
    host += [1] * (len(_HOST) - len(host))
    try:
        topology = topologies.get_topology_desc(
            platform="tpu", topology_name=name, chips_per_host_bounds=host
        )
    except jax.errors.JaxRuntimeError as error:
        raise UserError(
            f"libtpu refuses slice {name!r}: {error}; its documentation lists the "
            "shapes of slices"
        ) from error
    cores = len(topology.devices) / chips
    device = Chip(*(limit / cores for limit in CHIPS[chip]))
    return Slice(name, topology.devices, device)
