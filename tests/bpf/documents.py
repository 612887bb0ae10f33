"""Documents of rules for tests: made by hand, signed by a key of the test's own."""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.api_jws import PyJWS

NODE = "worker-1"
Patterns = Mapping[str, int]
"""Path → mask; one that ends with ``*`` is a prefix."""


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def automaton(patterns: Patterns) -> dict[str, Any]:
    """A trie of the patterns; what a prefix accepts, everything below it accepts too."""
    used = sorted({byte for pattern in patterns for byte in pattern.removesuffix("*").encode()})
    classes = bytearray(256)
    for number, byte in enumerate(used, 1):
        classes[byte] = number
    dead: tuple[bytes, int] = (b"", -1)
    states: dict[tuple[bytes, int], int] = {(b"", 0): 0}
    rows: list[list[int]] = []
    accepts: list[int] = []
    waiting = [(b"", 0)]

    def number(state: tuple[bytes, int]) -> int:
        if state not in states:
            states[state] = len(states)
            waiting.append(state)
        return states[state]

    literal = {pattern.encode(): mask for pattern, mask in patterns.items() if not pattern.endswith("*")}
    prefixes = {pattern[:-1].encode(): mask for pattern, mask in patterns.items() if pattern.endswith("*")}
    stems = {whole[:end] for whole in (*literal, *prefixes) for end in range(len(whole) + 1)}
    while waiting:
        stem, kept = waiting.pop(0)
        alive = kept >= 0 and stem in stems
        mask = 0 if kept < 0 else kept | (prefixes.get(stem, 0) if alive else 0)
        accepts.append(mask | (literal.get(stem, 0) if alive else 0))
        row = []
        for byte in [None, *used]:
            after = stem + bytes([byte]) if byte is not None and alive else None
            if after in stems:
                row.append(number((after, mask)))
            else:
                # Off every pattern: what prefixes gave stays, and nothing is added any more.
                row.append(number((b"\0off", mask) if mask else dead))
        rows.append(row)
    table = b"".join(each.to_bytes(2, "little") for row in rows for each in row)
    return {
        "states": len(rows),
        "start": 0,
        "classes": b64(bytes(classes)),
        "transitions": b64(table),
        "accepts": b64(bytes(accepts)),
    }


def network(effect: str, host: str | None, port: int | None = None, protocol: str | None = None) -> dict[str, Any]:
    inexact = host is not None and any(letter in "ghijklmnopqrstuvwxyz" for letter in host)
    return {"effect": effect, "host": host, "port": port, "protocol": protocol, "policy": 0, "inexact": inexact}


def class_rules(name: str = "data-analyst", patterns: Patterns | None = None, **given: Any) -> dict[str, Any]:
    return {
        "name": name,
        "audit": False,
        "hide": False,
        "files": {"automaton": automaton(patterns or {"/workspace/*": 3}), "anchors": []},
        "network": [],
        "binds": [],
        "system_calls": None,
        "spawn": True,
        "policies": ["first"],
    } | given


def document(*classes: dict[str, Any], generation: int = 1, node: str = NODE) -> dict[str, Any]:
    return {
        "schema": "hopgate.kernel/1",
        "generation": generation,
        "digest": f"sha256:{'ab' * 32}",
        "node": node,
        "classes": list(classes) or [class_rules()],
    }


def written(rules: Mapping[str, Any]) -> bytes:
    return rfc8785.dumps(dict(rules))


class Signer:
    """The gateway's key, and the JWK set that pins it."""

    def __init__(self, kid: str = "gateway-1") -> None:
        self.kid = kid
        self.key = Ed25519PrivateKey.generate()

    def jwk(self) -> dict[str, str]:
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x, "use": "sig"}

    def jwks(self) -> bytes:
        return jwks([self])

    def sign(self, payload: bytes, **header: Any) -> bytes:
        head = {"typ": "hopgate-kernel+jwt", "kid": self.kid} | header
        return PyJWS().encode(payload, self.key, "EdDSA", headers=head).encode()

    def signed(self, rules: Mapping[str, Any]) -> bytes:
        return self.sign(written(rules))


def jwks(signers: Iterable[Signer]) -> bytes:
    return json.dumps({"keys": [each.jwk() for each in signers]}).encode()


def example() -> dict[str, Any]:
    """A document with everything in it."""
    read: dict[str, Any] = json.loads(Path(__file__).with_name("example.json").read_text())
    return read
