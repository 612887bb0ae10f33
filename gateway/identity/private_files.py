"""Files that hold secrets: mode 0600 from the first byte, and never half-written under their name."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_private(file: Path, content: bytes) -> None:
    """Put ``content`` in place of ``file``: a reader sees the old file or the new one.

    Raises:
        OSError: the directory is absent or not writable.
    """
    with _complete(file, content) as made:
        made.replace(file)


def ensure_private(file: Path, make: Callable[[], bytes]) -> bytes:
    """The content of ``file``, which is made first where absent. Of several at once, the first one's stands.

    Raises:
        OSError: it can't be read, or its directory is absent or not writable.
    """
    if not file.exists():
        with _complete(file, make()) as made, suppress(FileExistsError):
            os.link(made, file)
    return file.read_bytes()


@contextmanager
def _complete(file: Path, content: bytes) -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    made = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(descriptor)
        yield made
    finally:
        made.unlink(missing_ok=True)
