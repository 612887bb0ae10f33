"""What a node keeps across restarts: the document that it accepted last, as signed, and the cgroups of classes.

The generation in force only grows, also across restarts: it is kept with the document, on the disk before anything is
applied and put in place after. Judges nothing: what is read back is verified again by ``node.accepting``.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from hopgate_bpf.node.staged_file import StagedFile
from hopgate_bpf.rules.refusal import Reason, RefusedError

T = TypeVar("T")
ACCEPTED = "accepted.json"
CGROUPS = "cgroups.json"
LOCK = "lock"


class Accepted(Struct, frozen=True, forbid_unknown_fields=True):
    """The last document that was put in force. ``sha256``: of its payload, hex."""

    schema: Literal["hopgate-bpf.accepted/1"]
    generation: Annotated[int, Meta(gt=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    jws: str


class Registered(Struct, frozen=True, forbid_unknown_fields=True):
    """Class → cgroups that were given to it by the API, as real paths."""

    schema: Literal["hopgate-bpf.cgroups/1"] = "hopgate-bpf.cgroups/1"
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class StateFolder:
    """The folder that all of it is in; ``held`` by one loader at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else changes the folder meanwhile.

        Raises:
            RefusedError: BUSY, another loader runs; STATE_UNWRITABLE.
        """
        try:
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise RefusedError(Reason.BUSY, f"another hopgate-bpf runs with {self._folder}") from None
        finally:
            os.close(descriptor)

    def accepted(self) -> Accepted | None:
        """What was accepted last; None: nothing yet.

        Raises:
            RefusedError: STATE_UNREADABLE.
        """
        return self._read(ACCEPTED, Accepted)

    def registered(self) -> Registered:
        """The cgroups of classes.

        Raises:
            RefusedError: STATE_UNREADABLE.
        """
        return self._read(CGROUPS, Registered) or Registered()

    @contextmanager
    def keeping(self, what: Accepted | Registered) -> Iterator[None]:
        """Keep ``what`` once the block has ended without an error; that it can be kept is sure before.

        Raises:
            RefusedError: STATE_UNWRITABLE.
        """
        name = ACCEPTED if isinstance(what, Accepted) else CGROUPS
        try:
            staged = StagedFile(self._folder / name, msgspec.json.encode(what))
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            yield
            try:
                staged.commit()
            except OSError as error:
                raise self._unwritable(error) from None
        finally:
            staged.discard()

    def _read(self, name: str, kind: type[T]) -> T | None:
        file = self._folder / name
        try:
            return msgspec.json.decode(file.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RefusedError(Reason.STATE_UNREADABLE, f"{file}: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RefusedError(Reason.STATE_UNREADABLE, f"{file}: {error}") from None

    def _unwritable(self, error: OSError) -> RefusedError:
        return RefusedError(Reason.STATE_UNWRITABLE, f"{self._folder}: {error.strerror}")
