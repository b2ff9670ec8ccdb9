"""A staging file that is hashed while it is written and is on disk when it is closed."""

import hashlib
import io
import os
from pathlib import Path

_BLOCK = 1024 * 1024


class HashingFile(io.FileIO):
    """A new file, written and read by a format's writer; `finish` makes it durable.

    The digest is taken inline. A writer that goes back (a header that needs sizes) makes the
    inline digest useless; the file is then read once more at the end.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+b")
        self.path = path
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._straight = True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # buffer protocol
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        if self._straight and self.tell() == self._hashed:
            self._digest.update(view)
            self._hashed += len(view)
        else:
            self._straight = False
        written = 0
        while written < len(view):
            written += super().write(view[written:]) or 0
        return written

    def finish(self) -> tuple[int, str]:
        """Flush to disk, close; return the size in bytes and the SHA-256 in hex."""
        size = self.seek(0, io.SEEK_END)
        if not self._straight or size != self._hashed:
            self._digest = hashlib.sha256()
            self.seek(0)
            while block := self.read(_BLOCK):
                self._digest.update(block)
        os.fsync(self.fileno())
        self.close()
        return size, self._digest.hexdigest()
