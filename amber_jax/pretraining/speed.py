"""What the speed of a run is compared with: a peak, and the dry run's forecast."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from amber_jax.errors import UserError
from amber_jax.pretraining.preparation import Run
from amber_jax.training.slices import chip_of


class Speed(NamedTuple):
    """What the arithmetic of a run is compared with."""

    peak_flops: float  # of all devices, in a second; 0: not known
    forecast_mfu: float | None

    def compared(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the record with the part of the forecast that it reaches."""
        if self.forecast_mfu is None or "mfu" not in record:
            return record
        return {**record, "forecast_share": record["mfu"] / self.forecast_mfu}


def speed_of(run: Run, forecast_mfu: float | None) -> Speed:
    """Returns what a run on these devices is compared with.

    Args:
        run: the run; its `peak_tflops` goes before what is known of the chip.
        forecast_mfu: the part of the peak that the dry run reckoned with, if any.

    Raises:
        UserError: there is a forecast, and no peak that it is a share of.
    """
    peak = run.config.peak_tflops * 1e12
    if not peak and forecast_mfu is not None:
        chip = chip_of(jax.devices()[0])
        if chip is None:
            raise UserError(
                f"--mfu={forecast_mfu:g} is a share of a peak that is not known here; "
                "set --config.peak_tflops to what one device can do, or leave it out"
            )
        peak = chip.peak
    return Speed(peak * run.backend.num_devices, forecast_mfu)
