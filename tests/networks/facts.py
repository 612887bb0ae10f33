"""What the model knows: requests, tokens and chains, as plain values, and how they are read off the wire."""

import hashlib
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.networks.places import Running

Kind = Literal["root", "hop", "exchanged", "assertion", "brought"]
"""A user's; for an upstream; an agent's own of the token endpoint; for a peer's endpoint; a peer's of the endpoint."""


class WrongError(AssertionError):
    """An acceptance, or a claim, that the model does not allow."""


def need(right: object, what: str) -> None:
    if not right:
        raise WrongError(what)


@dataclass(frozen=True)
class Facts:
    """A chain as far as it was proven: ``actors`` with whoever acts now."""

    sub: str
    txn: str
    root_expires: int
    max_depth: int
    ceiling: frozenset[str]
    actors: tuple[str, ...]
    via: str | None = None


@dataclass(frozen=True)
class Known:
    """One token that somebody was given."""

    kind: Kind
    text: str
    domain: str
    """Of the gateway that it is for."""
    holder: str
    where: str
    """The resource or audience that it is for."""
    expires: int
    claims: Mapping[str, Any]
    facts: Facts | None = None
    x5t: str = ""
    client: str = ""
    handle: str | None = None

    @property
    def digest(self) -> str:
        return hashlib.sha256(signed_part(self.text).encode()).hexdigest()


@dataclass(frozen=True)
class Asked:
    """What a request is, as the wire has it: nothing of it is believed."""

    at: Running
    caller: str | None
    """SPIFFE ID of the connection, or what a mesh proxy says that it is."""
    x5t: str
    """Of the connection's own certificate; empty where it is not the caller's."""
    path: str
    token: str | None = None
    handles: tuple[str, ...] = ()
    form: Mapping[str, str] | None = None
    needs: frozenset[str] = frozenset()
    wanted: frozenset[str] | None = None
    not_after: int = 1 << 40
    honest: bool = False


def signed_part(text: str) -> str:
    return text.rpartition(".")[0]


def claims_of(text: str) -> dict[str, Any]:
    payload = text.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def actors_of(act: Any) -> tuple[str, ...]:
    found: list[str] = []
    while act is not None:
        found.append(act["sub"])
        act = act.get("act")
    return tuple(reversed(found))
