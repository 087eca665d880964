"""Examines an installation: versions, extras, devices, speed, room for a run.

amber doctor --workdir=DIR
"""

from absl import flags

from amber_jax.storage import location

_WORKDIR = flags.DEFINE_string("workdir", ".", "a folder in which runs are to be")


def main(_: list[str]) -> None:
    from amber_jax.commands.doctor import examine

    examine(location(_WORKDIR.value))
