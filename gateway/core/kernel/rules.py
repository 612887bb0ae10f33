"""What a node's loader is sent: one document per generation, with rules for every class of agents.

The types are the source of ``schemas/kernel.schema.json``. Says nothing of who signs, sends or enforces the document. A
class without rules, and one that the document doesn't name, is denied everything.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
import rfc8785
from msgspec import Meta, Struct

from gateway.core.registry import Transport

SCHEMA: Final = "hopgate.kernel/1"
READ, WRITE, EXEC, LIBRARY = 1, 2, 4, 8
"""Bits of an automaton's and an anchor's mask."""

MAX_CLASSES = 64
MAX_STATES = 4096
MAX_TRANSITIONS = 262_144
"""States times byte classes of one automaton: half a megabyte of 16-bit numbers."""
MAX_ANCHORS = 4096
MAX_RULES = 4096
"""Network rules of one class, and as many for binding."""
MAX_PORTS = 16
"""Pairs of port and protocol that rules tell apart for one address."""
MAX_POLICIES = 4096
MAX_PATH = 4095
"""Bytes of a path: Linux' PATH_MAX without the NUL."""
MAX_HOST = 253
MAX_BYTES = 64 * 1024 * 1024
"""Of the whole document."""

Mask = Annotated[int, Meta(ge=1, le=15, description="Bits: 1 readFile, 2 writeFile, 4 execFile, 8 loadLibrary.")]
Host = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_HOST,
        description="A lower-case name, an address, or a network like `10.0.0.0/8`; `null`: any.",
    ),
]
Port = Annotated[int, Meta(ge=0, le=65535, description="`null`: any.")]
ClassName = Annotated[str, Meta(pattern="^[A-Za-z0-9._:/-]{1,63}$")]
Index = Annotated[int, Meta(ge=0, lt=MAX_POLICIES, description="Position in the class's `policies`.")]


class Automaton(Struct, frozen=True, forbid_unknown_fields=True):
    """One deterministic automaton over the bytes of an absolute path, without the NUL at its end.

    From state ``start``, each byte ``b`` leads from state ``s`` to ``transitions[s * n + classes[b]]``, where ``n`` is
    the number of byte classes: the highest number in ``classes`` plus one. What the path's last state accepts may be
    done with the file; forbids are subtracted already. A dead state is a state like others, with mask 0.
    """

    states: Annotated[int, Meta(ge=1, le=MAX_STATES)]
    start: Annotated[int, Meta(ge=0, le=0)]
    classes: Annotated[bytes, Meta(min_length=256, max_length=256, description="Byte → its class: 256 bytes.")]
    transitions: Annotated[
        bytes,
        Meta(
            min_length=2,
            max_length=2 * MAX_TRANSITIONS,
            description="States × byte classes numbers of 16 bits, little-endian.",
        ),
    ]
    accepts: Annotated[
        bytes, Meta(min_length=1, max_length=MAX_STATES, description="State → mask: one byte for each state.")
    ]


class Anchor(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is forbidden under whatever name it is reached: the loader resolves ``path`` to device and inode.

    Anchors only forbid. No path that the automaton accepts for an action is anchored for it.
    """

    path: Annotated[str, Meta(pattern="^/", max_length=MAX_PATH)]
    prefix: Annotated[
        bool,
        Meta(
            description="`false`: the file itself. `true`: all that lies below the directory; the directory itself "
            "only where another anchor says so, but a loader that forbids it too is safe."
        ),
    ]
    mask: Mask
    policy: Index


class Files(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be done with which files."""

    automaton: Automaton
    anchors: Annotated[tuple[Anchor, ...], Meta(max_length=MAX_ANCHORS)]


class NetworkRule(Struct, frozen=True, forbid_unknown_fields=True):
    """A connection, or an address to listen on, is permitted if some rule permits it and none forbids it."""

    effect: Literal["permit", "forbid"]
    host: Host | None
    port: Port | None
    protocol: Annotated[Transport | None, Meta(description="`null`: both.")]
    policy: Index
    inexact: Annotated[
        bool,
        Meta(description="`host` is a name: the loader resolves it, and addresses may be shared or change."),
    ]


class SystemCalls(Struct, frozen=True, forbid_unknown_fields=True):
    """The system calls that are permitted, by name; all others are not."""

    allowed: tuple[Annotated[str, Meta(pattern="^[a-z_][a-z0-9_]*$", max_length=64)], ...]


class ClassRules(Struct, frozen=True, forbid_unknown_fields=True):
    """All that agents of one class may do. ``audit``: what is denied is let through and reported."""

    name: ClassName
    audit: bool
    hide: Annotated[bool, Meta(description="A denied file doesn't exist for the class: ENOENT in place of EPERM.")]
    files: Files
    network: Annotated[tuple[NetworkRule, ...], Meta(max_length=MAX_RULES)]
    binds: Annotated[tuple[NetworkRule, ...], Meta(max_length=MAX_RULES)]
    system_calls: Annotated[
        SystemCalls | None,
        Meta(description="`null`: no policy of the class is about system calls, and none is filtered."),
    ]
    spawn: Annotated[bool, Meta(description="Whether it may make processes.")]
    policies: Annotated[
        tuple[str, ...], Meta(max_length=MAX_POLICIES, description="Ids of the policies that rules point to.")
    ]


class KernelRules(Struct, frozen=True, forbid_unknown_fields=True):
    """Rules of one node, of one generation. ``classes`` are sorted by name."""

    schema: Literal["hopgate.kernel/1"]
    generation: Annotated[int, Meta(gt=0, le=2**53 - 1)]
    digest: Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$", description="Of the Cedar policies.")]
    node: Annotated[str, Meta(min_length=1, max_length=256)]
    classes: Annotated[tuple[ClassRules, ...], Meta(max_length=MAX_CLASSES)]


def written(rules: KernelRules) -> bytes:
    """The document as it is signed and sent: RFC 8785, so that equal rules are equal bytes."""
    return rfc8785.dumps(msgspec.to_builtins(rules))


def document() -> Mapping[str, object]:
    """The JSON Schema of the document."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Rules for the kernel of one node"}
    return head | msgspec.json.schema(KernelRules)
