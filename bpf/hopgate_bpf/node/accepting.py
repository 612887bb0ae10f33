"""Whether a signed document is one that this node takes: genuine, whole, for this node, and not older.

The same for a push, for what is read back at a start, for ``check`` and for ``exec``. Applies nothing.
"""

import hashlib
from pathlib import Path

from msgspec import Struct

from hopgate_bpf.node.kept import Accepted
from hopgate_bpf.rules.document import MAX_BYTES, KernelRules
from hopgate_bpf.rules.reading import read_document
from hopgate_bpf.rules.refusal import Reason, RefusedError
from hopgate_bpf.rules.signature import MAX_HEADER_CHARS, MAX_KEYS_BYTES, PinnedKeys, read_pinned_keys, verified_payload

MAX_NAMES = 4096
"""Host names in all rules of a document."""
_SIGNATURE_CHARS = 128


def most_jws_bytes(document_bytes: int = MAX_BYTES) -> int:
    """Of a JWS whose payload has at most ``document_bytes``."""
    return -(-document_bytes * 4 // 3) + MAX_HEADER_CHARS + _SIGNATURE_CHARS


class Verified(Struct, frozen=True):
    """A document that a pinned key signed, right in every part."""

    rules: KernelRules
    sha256: str
    """Of its bytes, hex: what the gateway compares."""
    jws: str

    @property
    def names(self) -> frozenset[str]:
        """The host names to look up."""
        listed = (rule for each in self.rules.classes for rule in (*each.network, *each.binds))
        return frozenset(rule.host for rule in listed if rule.inexact and rule.host is not None)


def pinned_keys(file: Path) -> PinnedKeys:
    """The gateway's public keys, as they are now.

    Raises:
        RefusedError: KEYS_UNREADABLE.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_KEYS_BYTES + 1)
    except OSError as error:
        raise RefusedError(Reason.KEYS_UNREADABLE, f"{file}: {error.strerror}") from None
    return read_pinned_keys(text, str(file))


def verified(jws: bytes, keys: PinnedKeys, node: str | None, most: int = MAX_BYTES) -> Verified:
    """The document in ``jws``, if it is genuine and whole, and for ``node`` (None: for any).

    Raises:
        RefusedError: see ``rules.signature`` and ``rules.reading``; NODE_OTHER.
    """
    payload = verified_payload(jws, keys, most_jws_bytes(most))
    rules = read_document(payload)
    if node is not None and rules.node != node:
        raise RefusedError(Reason.NODE_OTHER, f"it is for {rules.node[:200]!r}, this node is {node!r}", "$.node")
    found = Verified(rules, hashlib.sha256(payload).hexdigest(), jws.decode("ascii"))
    if len(found.names) > MAX_NAMES:
        raise RefusedError(Reason.DOCUMENT_LIMIT, f"{len(found.names)} host names, at most {MAX_NAMES} are read", "$")
    return found


def check_newer(offered: Verified, kept: Accepted | None, in_kernel: int) -> None:
    """Whether ``offered`` follows what was accepted before, or is the same again.

    ``in_kernel``: the generation that the kernel enforces, 0 for none.

    Raises:
        RefusedError: GENERATION_OLD, GENERATION_CONFLICT.
    """
    generation = offered.rules.generation
    latest = max(in_kernel, kept.generation if kept else 0)
    if generation < latest:
        raise RefusedError(Reason.GENERATION_OLD, f"generation {generation}, but {latest} is in force", "$.generation")
    if kept is not None and generation == kept.generation and offered.sha256 != kept.sha256:
        raise RefusedError(
            Reason.GENERATION_CONFLICT, f"generation {generation} was accepted with other content", "$.generation"
        )
