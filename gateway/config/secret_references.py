"""Secrets by reference: ``file:PATH`` and ``env:NAME``.

The bytes behind a reference are read when they are needed and never kept, logged or put in an error;
errors name the reference only. A secret written literally is refused without repeating it.
"""

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.config.files import UnreadableError, read_bytes

SECRET_BYTES = 64 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SecretError(Exception):
    """The reference can't be resolved. Says which reference and why, never a value."""


def reference_fault(reference: str) -> str | None:
    """Why ``reference`` isn't one, without repeating it; None if it is ``file:PATH`` or ``env:NAME``."""
    scheme, colon, rest = reference.partition(":")
    if colon and scheme == "file" and rest:
        return None
    if colon and scheme == "env" and _VARIABLE.fullmatch(rest):
        return None
    return "a secret must be a reference, and is not repeated here: write file:PATH or env:NAME"


def resolve(reference: str, environ: Mapping[str, str]) -> bytes:
    """The secret behind ``reference``; one trailing line end of a file is not part of it.

    Raises:
        SecretError: no reference, nothing there, or empty.
    """
    fault = reference_fault(reference)
    if fault is not None:
        raise SecretError(fault)
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        secret = environ.get(rest, "").encode("utf-8", "surrogateescape")
        missing = f"the environment variable of {reference} is not set or empty"
    else:
        secret = _file_secret(reference, Path(rest))
        missing = f"the file of {reference} is empty"
    if not secret:
        raise SecretError(missing)
    return secret


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of ``path``, written first with ``make()`` and mode 0600 if there is none.

    Two processes that start at once agree: the file appears whole or not at all, and the first one wins.

    Raises:
        SecretError: it can't be read or written.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _create(path, make())
    except OSError as error:
        raise SecretError(f"file:{path} can't be created: {(error.strerror or 'unknown cause').lower()}") from None
    return _file_secret(f"file:{path}", path, strip=False)


def _create(path: Path, content: bytes) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        os.unlink(draft)


def _file_secret(reference: str, path: Path, *, strip: bool = True) -> bytes:
    try:
        content = read_bytes(path, SECRET_BYTES)
    except UnreadableError as error:
        raise SecretError(f"{reference}: {error.message}") from None
    if not strip:
        return content
    return content.removesuffix(b"\n").removesuffix(b"\r")
