"""A file put in place whole or not at all, and on the disk before anybody is told so."""

import os
import tempfile
from pathlib import Path


class StagedFile:
    """New content for ``file``, written and synchronised under a name of its own beside it.

    Full disks and read-only folders fail here, before anything else was done; ``commit`` only renames.

    Raises:
        OSError: the folder is absent or not writable, or the disk is full.
    """

    def __init__(self, file: Path, content: bytes) -> None:
        self._file = file
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        self._staged = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(descriptor)
        except OSError:
            self.discard()
            raise

    def commit(self) -> None:
        """Make it the file's content, also after a power cut.

        Raises:
            OSError: the folder changed meanwhile; the file holds what it held.
        """
        self._staged.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Leave the file as it is; nothing to do once committed."""
        self._staged.unlink(missing_ok=True)
