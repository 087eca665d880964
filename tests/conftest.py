"""What every test needs: eight emulated devices, and small models and rows.

The environment is set before anything imports jax.
"""

import os
from pathlib import Path

os.environ.setdefault("NPROC", "16")  # fewer XLA threads can starve a collective
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        # A collective that hangs fails in 20 s instead of 40 s.
        "--xla_cpu_collective_call_warn_stuck_timeout_seconds=8",
        "--xla_cpu_collective_call_terminate_timeout_seconds=20",
    ]
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import chex  # noqa: E402
import jax  # noqa: E402

chex.set_n_cpu_devices(8)
jax.config.update("jax_numpy_rank_promotion", "raise")
