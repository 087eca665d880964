"""Zip archives whose members are read where they lie: nothing is unpacked to disk."""

import contextlib
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from amber_jax.corpora.text import bounded
from amber_jax.errors import UserError


class Archive:
    """An open zip archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self.path = path
        self._archive = archive
        self.names = [name for name in archive.namelist() if not name.endswith("/")]
        for name in self.names:
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if ".." in parts or parts[0] == "/":
                raise UserError(
                    f"{path}: its member {name!r} leads out of the archive; it is "
                    "damaged or was made to do harm, so get it from its publisher"
                )

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yields the bytes of a member in pieces of at most 1 MiB.

        Raises:
            UserError: it unpacks to more than text would.
        """
        size = self._archive.getinfo(name).compress_size
        with self._archive.open(name) as file:
            yield from bounded(file, f"{self.path}, {name}", size)


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Yields an archive to read from.

    Raises:
        UserError: it cannot be read, now or later.
    """
    try:
        with path.open("rb") as stored, zipfile.ZipFile(stored) as archive:
            yield Archive(path, archive)
    except (
        *(zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError),
        *(RuntimeError, NotImplementedError),  # a password, an unknown compression
    ) as error:
        raise UserError(
            f"{path}: cannot be read to its end ({error}); give a complete zip archive"
        ) from error
