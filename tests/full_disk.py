"""A disk that is full, for this process alone."""

import contextlib
import resource


@contextlib.contextmanager
def full_disk(room=100):
    """Lets no file of this process grow beyond `room` bytes inside the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
