"""Tokens that nobody handed out: bytes changed, claims edited, parts of two put together, signed by the wrong key."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from gateway.identity.signer import Signer
from gateway.identity.signing_key import generate
from tests.networks.facts import Known, claims_of
from tests.networks.places import Running, base_of

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MANNERS = ("byte", "edited", "stranger", "other gateway", "other issuer", "spliced", "none")
EDITS: Mapping[str, Any] = {
    "scope": "ledger/read ledger/pay",
    "del_scope": "ledger/read ledger/pay ann/delegate bob/delegate",
    "root_exp": 1_900_000_000,
    "exp": 1_900_000_000,
    "del_max_depth": 9,
    "del_depth": 0,
    "txn": "another",
    "sub": "corp-a|zoe",
    "act": None,
    "cnf": {"x5t#S256": "ann-0"},
}


def forged(token: Known, other: Known, manner: str, edit: str, place: int, at: Running, elsewhere: Running) -> str:
    """A token that looks like ``token``: nobody has signed it who may."""
    head, payload, signature = token.text.split(".")
    changed = {**claims_of(token.text), edit: EDITS[edit]}
    header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    match manner:
        case "byte":
            # Of the signature's last characters some bits say nothing; the parser has to refuse them all the same.
            where = place % len(head + payload) + (place % len(head + payload) >= len(head))
            letter = ALPHABET[(ALPHABET.index(token.text[where]) + 1 + place) % 64] if token.text[where] != "." else "A"
            return token.text[:where] + letter + token.text[where + 1 :]
        case "edited":
            return f"{head}.{_part(changed)}.{signature}"
        case "stranger":
            return _signed(changed, header, Signer(generate("ES256")))
        case "other gateway":
            own = elsewhere.base == claims_of(token.text)["iss"]
            return _signed(changed, header, Signer(generate("EdDSA")) if own else elsewhere.signer)
        case "other issuer":
            return _signed(changed, header, at.idp if token.kind != "root" else at.signer)
        case "spliced":
            return f"{head}.{payload}.{other.text.split('.')[2]}"
    return f"{_part({**header, 'alg': 'none'})}.{_part(changed)}."


def lie(claims: Mapping[str, Any], edit: str, txn: str, other: Mapping[str, Any], to: Running) -> dict[str, Any]:
    """What a peer gateway says of a chain, and shouldn't: everything it signs is genuine."""
    edits: Mapping[str, Mapping[str, Any]] = {
        "txn": {"txn": txn},
        "scope": {"del_scope": " ".join(sorted(EDITS["del_scope"].split()))},
        "life": {"root_exp": claims["root_exp"] + 100_000},
        "depth": {"del_max_depth": 64},
        "user": {"sub": f"{'corp-' + to.domain[0]}|maria"},
        "agent": {"sub": claims["client_id"], "act": {"sub": claims["client_id"]}, "del_depth": 1},
        "actors": {"act": other.get("act"), "client_id": other.get("client_id"), "del_depth": other.get("del_depth")},
        "shorter": {"act": {"sub": claims["client_id"]}, "del_depth": 1},
        "again": {},
    }
    return {**claims, **edits[edit], "aud": base_of(to.domain), "jti": f"{claims['jti']}{edit}{txn[:8]}"}


LIES = ("txn", "scope", "life", "depth", "user", "agent", "actors", "shorter", "again")


def _signed(claims: Mapping[str, Any], header: Mapping[str, str], signer: Signer) -> str:
    return signer.sign_bytes(json.dumps(claims).encode(), {"typ": header["typ"], "kid": header["kid"]})


def _part(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
