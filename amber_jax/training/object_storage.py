"""What Orbax does otherwise where a checkpoint goes into object storage."""

import functools
import os

from orbax.checkpoint._src.serialization import tensorstore_utils
from orbax.checkpoint.path import atomicity

from amber_jax.errors import StorageError
from amber_jax.files import failure

_CAUSE_LETTERS = 160  # of a sentence
# Of requests to object storage that it answers with 429 or 5xx: for a minute and a
# half. By default it is a quarter of an hour, without a word.
RETRIES = {"max_retries": 8, "initial_delay": "1s", "max_delay": "16s"}
# After which a request is broken off that moves no byte; by default none ever is.
# Source: https://github.com/google/tensorstore/issues/291
_STALLED = {
    "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": "60",
    "TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES": "1",
}


class CommittedByUs(atomicity.CommitFileTemporaryPath):
    """A folder of object storage that Orbax does not call complete: more follows."""

    async def finalize(self) -> None:
        """Leaves that to `manifest.commit`."""


@functools.cache
def bound_retries() -> None:
    """Makes Orbax give up on storage that does not answer; it has no setting for it."""
    for context in (
        tensorstore_utils._BASE_TS_CONTEXT,
        tensorstore_utils._DEFAULT_OCDBT_TS_CONTEXT,
    ):
        context["gcs_request_retries"] = RETRIES
    for name, value in _STALLED.items():
        os.environ.setdefault(name, value)


def last_cause(error: BaseException) -> str:
    """Returns the end of what tensorstore says, which begins with all it did before."""
    if isinstance(error, StorageError):
        return failure(error)
    text = " ".join(str(error).partition(" [")[0].split())
    return text if len(text) <= _CAUSE_LETTERS else f"...{text[-_CAUSE_LETTERS:]}"
