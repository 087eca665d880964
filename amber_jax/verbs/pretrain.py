"""Pretrains an encoder; run again to resume.

amber pretrain --config=amber_tiny.py:sa --config.corpus=DIR --workdir=DIR

On several hosts, start the same command on each with --config.backend=jit and
--distributed=auto (a TPU pod, GKE or Slurm), or --distributed=HOST:PORT,COUNT,INDEX.
"""

from absl import flags

from amber_jax.commands.command_line import require_keys
from amber_jax.commands.config_flag import define_config
from amber_jax.commands.distributed_flag import define_distributed
from amber_jax.errors import UserError
from amber_jax.stopping import START_AGAIN
from amber_jax.storage import location

_CONFIG = define_config("the experiment")
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "say what would be done, do not train")
_FAKE_DEVICES = flags.DEFINE_integer(
    "fake_devices", 0, "of a dry run: emulate this many; 0: those of this machine"
)
_PLATFORM = flags.DEFINE_enum(
    "platform",
    None,
    [f"tpu-{chip}" for chip in ("v5e", "v5p", "v6e")],
    "of a dry run: the chip that every device is; without a corpus, usual rows stand "
    "in for it",
)
_MFU = flags.DEFINE_string(
    "mfu",
    "0.4",
    "of a dry run: share of the platform's peak, or the WORKDIR of a run that logged "
    "it; of a run: what was forecast, so that the log says how much of it is reached",
)
_PRICE = flags.DEFINE_float("price", None, "dollars for an hour of a chip")
_COMPILE = flags.DEFINE_bool(
    "compile", False, "also ask the platform's compiler, which the extra tpu installs"
)
_together = define_distributed()
_PROFILE = flags.DEFINE_string(
    "profile",
    None,
    "FIRST:LAST, as 10:15: trace these steps into WORKDIR/profile; step 1 is the "
    "first that this command executes, also where it resumes a run",
)
flags.mark_flags_as_required(["config", "workdir"])


def main(_: list[str]) -> None:
    with _together():
        from amber_jax import config
        from amber_jax.pretraining.describe import dry_run
        from amber_jax.pretraining.forecast import parse_mfu
        from amber_jax.pretraining.run import pretrain
        from amber_jax.training.profile import parse_window

        require_keys(_CONFIG.value, config.pretraining().keys())
        _refuse_without_dry_run()
        window = None if _PROFILE.value is None else parse_window(_PROFILE.value)
        if _DRY_RUN.value:
            dry_run(_CONFIG.value, target=_target())
        else:
            state = pretrain(
                _CONFIG.value,
                location(_WORKDIR.value),
                profile=window,
                forecast_mfu=parse_mfu(_MFU.value) if _MFU.present else None,
            )
            if int(state.step) < sum(stage.num_steps for stage in _CONFIG.value.stages):
                raise SystemExit(START_AGAIN)


def _target():
    """Returns the slice that a dry run is for, None for this machine."""
    from amber_jax.pretraining.forecast import Target, parse_mfu
    from amber_jax.training.slices import emulate

    if _FAKE_DEVICES.value:
        emulate(_FAKE_DEVICES.value)
    if _PLATFORM.value is None:
        return None
    import jax

    return Target(
        chip=_PLATFORM.value.removeprefix("tpu-"),
        chips=jax.device_count(),
        mfu=parse_mfu(_MFU.value),
        price=_PRICE.value,
        compiled=_COMPILE.value,
    )


def _refuse_without_dry_run() -> None:
    """Raises UserError if a flag is set that only a dry run reads."""
    elsewhere = [_FAKE_DEVICES, _PLATFORM, _PRICE, _COMPILE]
    given = [flag.name for flag in elsewhere if flag.present]
    if given and not _DRY_RUN.value:
        raise UserError(f"--{given[0]} is of a dry run; add --dry_run, or leave it out")
