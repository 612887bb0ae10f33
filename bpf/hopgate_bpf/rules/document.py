"""The document that a loader takes: rules of every class of agents on one node, of one generation.

These are the loader's own types, as strict as ``schemas/kernel.schema.json``: what the schema refuses they refuse. What
the schema can't say is checked in ``rules.reading``. A class without rules, and one that the document doesn't name, is
denied everything.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

SCHEMA = "hopgate.kernel/1"

READ, WRITE, EXEC, LIBRARY = 1, 2, 4, 8
"""Bits of an automaton's and an anchor's mask: readFile, writeFile, execFile, loadLibrary."""

MAX_BYTES = 64 * 2**20
"""Of the whole document."""
MAX_CLASSES = 64
MAX_STATES = 4096
MAX_TRANSITIONS = 262_144
MAX_ANCHORS = 4096
MAX_RULES = 4096
"""Network rules of one class, and as many for binding."""
MAX_POLICIES = 4096
MAX_PATH = 4095
"""Bytes of a path."""
MAX_HOST = 253
MAX_SYSTEM_CALLS = 4096

ClassName = Annotated[str, Meta(pattern="^[A-Za-z0-9._:/-]{1,63}$")]
_Index = Annotated[int, Meta(ge=0, lt=MAX_POLICIES)]


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Automaton(_Part, frozen=True):
    """A deterministic automaton over the bytes of an absolute path.

    From state 0, byte ``b`` leads from state ``s`` to ``transitions[s × n + classes[b]]``, 16 bits little-endian, where
    ``n`` is the number of byte classes. ``accepts``: state → mask of what may be done with the file.
    """

    states: Annotated[int, Meta(ge=1, le=MAX_STATES)]
    start: Annotated[int, Meta(ge=0, le=0)]
    classes: Annotated[bytes, Meta(min_length=256, max_length=256)]
    transitions: Annotated[bytes, Meta(min_length=2, max_length=2 * MAX_TRANSITIONS)]
    accepts: Annotated[bytes, Meta(min_length=1, max_length=MAX_STATES)]

    @property
    def byte_classes(self) -> int:
        """How many there are."""
        return max(self.classes) + 1


class Anchor(_Part, frozen=True):
    """A file, with ``prefix`` everything below a folder, that is forbidden under whatever name it is reached."""

    path: Annotated[str, Meta(pattern="^/", max_length=MAX_PATH)]
    prefix: bool
    mask: Annotated[int, Meta(ge=1, le=15)]
    policy: _Index


class Files(_Part, frozen=True):
    """What may be done with which files."""

    automaton: Automaton
    anchors: Annotated[tuple[Anchor, ...], Meta(max_length=MAX_ANCHORS)]


class NetworkRule(_Part, frozen=True):
    """Permitted is what some rule permits and none forbids. None as host, port, protocol: any.

    ``inexact``: the host is a name, looked up here; its addresses may change or be shared.
    """

    effect: Literal["permit", "forbid"]
    host: Annotated[str, Meta(min_length=1, max_length=MAX_HOST)] | None
    port: Annotated[int, Meta(ge=0, le=65_535)] | None
    protocol: Literal["tcp", "udp"] | None
    policy: _Index
    inexact: bool


class SystemCalls(_Part, frozen=True):
    """The system calls that are permitted; all others are not."""

    allowed: Annotated[
        tuple[Annotated[str, Meta(pattern="^[a-z_][a-z0-9_]*$", max_length=64)], ...],
        Meta(max_length=MAX_SYSTEM_CALLS),
    ]


class ClassRules(_Part, frozen=True):
    """All that agents of one class may do."""

    name: ClassName
    audit: bool
    """What is denied is let through and reported."""
    hide: bool
    """A denied file doesn't exist: ENOENT in place of EPERM."""
    files: Files
    network: Annotated[tuple[NetworkRule, ...], Meta(max_length=MAX_RULES)]
    binds: Annotated[tuple[NetworkRule, ...], Meta(max_length=MAX_RULES)]
    system_calls: SystemCalls | None
    """None: none is filtered."""
    spawn: bool
    """Whether it may make processes."""
    policies: Annotated[tuple[str, ...], Meta(max_length=MAX_POLICIES)]


class KernelRules(_Part, frozen=True):
    """One generation. ``classes`` are sorted by name."""

    schema: Literal["hopgate.kernel/1"]
    generation: Annotated[int, Meta(gt=0, le=2**53 - 1)]
    digest: Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
    """Of the Cedar policies."""
    node: Annotated[str, Meta(min_length=1, max_length=256)]
    classes: Annotated[tuple[ClassRules, ...], Meta(max_length=MAX_CLASSES)]

    def of_class(self, name: str) -> ClassRules | None:
        """The rules of the class ``name``."""
        return next((each for each in self.classes if each.name == name), None)
