"""Reads the files that a configuration names, within limits, and says plainly why one can't be read.

Deliberately doesn't interpret what it reads.
"""

from pathlib import Path

from gateway.config.problems import nearest

FILE_BYTES = 4 * 1024 * 1024
"""The largest configuration, registry or policy file that is read."""


class UnreadableError(Exception):
    """A file or folder can't be used. ``message`` says why, ``hint`` the next step."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def shown(path: Path) -> str:
    """``path`` as a problem names it: relative where it lies below the working directory."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def read_bytes(path: Path, limit: int = FILE_BYTES) -> bytes:
    """The content of a regular file of at most ``limit`` bytes.

    Raises:
        UnreadableError: it is missing, no file, not readable or too large.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > limit:
        raise UnreadableError(f"{shown(path)} is larger than {limit} bytes", "split the file")
    return content


def read_text(path: Path, limit: int = FILE_BYTES) -> str:
    """The content of a UTF-8 file of at most ``limit`` bytes.

    Raises:
        UnreadableError: as ``read_bytes``, or it isn't UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{shown(path)} is not UTF-8 at byte {error.start}", "save it as UTF-8") from None


def require_file(path: Path) -> None:
    """Check that ``path`` is a file.

    Raises:
        UnreadableError: it isn't.
    """
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if is_folder:
        raise UnreadableError(f"{shown(path)} is a folder, not a file", "name a file in it")
    if not is_file:
        raise UnreadableError(f"there is no file {shown(path)}", _sibling_hint(path))


def require_folder(path: Path) -> None:
    """Check that ``path`` is a folder.

    Raises:
        UnreadableError: it isn't.
    """
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not is_folder:
        raise UnreadableError(f"there is no folder {shown(path)}", _sibling_hint(path))


def _unreadable(path: Path, error: OSError | ValueError) -> UnreadableError:
    cause = error.strerror if isinstance(error, OSError) and error.strerror else "not a usable path"
    return UnreadableError(f"{shown(path)} can't be read: {cause.lower()}", "check its owner and mode")


def _sibling_hint(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"there is no folder {path.parent} either; paths are relative to the file that names them"
    close = nearest(path.name, names)
    return f'did you mean "{close}"?' if close else "paths are relative to the file that names them"
