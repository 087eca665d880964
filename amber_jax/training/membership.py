"""Which process of a run this one is, and where the first of them is met."""

import dataclasses
import os

# How many processes a node has: "1", or "1(x4)" of four nodes, if it is a single one.
_OF_A_NODE = ("SLURM_STEP_TASKS_PER_NODE", "OMPI_COMM_WORLD_LOCAL_SIZE")


@dataclasses.dataclass(frozen=True)
class Membership:
    """A process among those of its run."""

    coordinator: tuple[str, int]  # host and port at which process 0 listens
    count: int  # of processes
    index: int
    devices: list[int] | None = None  # of its machine; None: all, or as JAX is told


def membership(who: str, *, seconds: int) -> Membership:
    """The place of this process in its run.

    Args:
        who: HOST:PORT,COUNT,INDEX; or "auto": as a TPU pod's metadata, the environment
            of GKE, Slurm or Open MPI, or Kubernetes (with the package kubernetes) say.
        seconds: how long "auto" waits until the name of process 0's host is known.

    Raises:
        ValueError: it is no such text, or nothing around says.
        RuntimeError: what is around cannot be asked.
    """
    if who == "auto":
        return _of_surroundings(seconds)
    address, *numbers = who.split(",")
    count, index = map(int, numbers)
    return _checked(address, count, index)


def _of_surroundings(seconds: int) -> Membership:
    from jax._src.clusters import ClusterEnv  # JAX has no public name for it

    address, count, index, devices = ClusterEnv.auto_detect_unset_distributed_params(
        None, None, None, None, None, seconds
    )
    if address is None or count is None or index is None:
        raise ValueError("neither a TPU pod, Slurm, Open MPI nor Kubernetes is around")
    if _is_alone_on_its_node():
        devices = None
    of_devices = None if devices is None else list(devices)
    return dataclasses.replace(_checked(address, count, index), devices=of_devices)


def _is_alone_on_its_node() -> bool:
    """Whether the machine's devices are all this process's.

    JAX gives a process of Slurm or Open MPI one device, as if each had its own process.
    """
    given = [os.environ[name] for name in _OF_A_NODE if name in os.environ]
    counts = {
        count.partition("(")[0] for counts in given for count in counts.split(",")
    }
    return counts == {"1"}


def _checked(address: str, count: int, index: int) -> Membership:
    if not 0 <= index < count:
        raise ValueError(f"process {index} of {count} is none")
    host, _, port = address.rpartition(":")
    if not 0 < int(port) < 1 << 16:
        raise ValueError(f"port {port} is none")
    return Membership((host.strip("[]"), int(port)), count, index)
