"""Signatures of A2A agent cards (A2A 1.0 §8.4).

The signed payload is RFC 8785 JSON of the card without ``signatures`` and without default values. A
verifier rebuilds it from the card, and the official SDKs drop *every* empty string, list and object where
§8.4.1 keeps those of required fields; this follows the SDKs, so publish cards without empty required
fields. An upstream's card is verified with a pinned key only: ``jku`` and ``kid`` of the card choose nothing.
Doesn't rewrite cards (``protocols.a2a``).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import rfc8785

from gateway.core.errors import TokenError
from gateway.identity.issuers import ALGORITHMS
from gateway.identity.jose import UnverifiedJws, canonical_base64url, decode_base64url, parse_protected
from gateway.identity.jwks import Keys
from gateway.identity.signer import Signer

MAX_CARD_BYTES = 1024 * 1024
MAX_SIGNATURES = 8
LEGACY = frozenset(
    {"url", "preferredTransport", "additionalInterfaces", "protocolVersion", "supportsAuthenticatedExtendedCard"}
)
"""Members that the official server adds after signing, for readers of A2A 0.3. Nothing of the gateway reads them."""


class CardError(ValueError):
    """A card can't be put in canonical form. The text names the cause."""


def sign_card(card: Mapping[str, Any], signer: Signer, jwks_url: str) -> dict[str, Any]:
    """``card`` with the gateway's signature in place of any it had. ``jwks_url`` is where verifiers find the key.

    Raises:
        CardError: it has no canonical form.
    """
    unsigned = _without_signatures(card)
    token = signer.sign_bytes(_canonical(_pruned_card(unsigned)), {"typ": "JOSE", "jku": jwks_url})
    protected, _, signature = token.split(".")
    return {**unsigned, "signatures": [{"protected": protected, "signature": signature}]}


def pinned_key(jwk: Mapping[str, Any]) -> Keys:
    """The one key that an upstream's card is verified with.

    Raises:
        CardError: the JWK is no public signature key.
    """
    keys = Keys([{name: value for name, value in jwk.items() if name != "kid"}], ALGORITHMS)
    if not keys:
        raise CardError("the pinned JWK is no usable public signature key")
    return keys


def verify_card(card: Mapping[str, Any], pinned: Keys) -> bool:
    """Whether ``pinned`` made one of the card's signatures, over the card in canonical form or just as served.

    ``LEGACY`` members may lie outside of the signature.
    """
    unsigned = _without_signatures(card)
    current = {name: value for name, value in unsigned.items() if name not in LEGACY}
    try:
        payloads = {_canonical(_pruned_card(unsigned)), _canonical(_pruned_card(current)), _canonical(unsigned)}
    except CardError:
        return False
    return any(pinned.verify(jws) for jws in _signatures(card, payloads))


def _signatures(card: Mapping[str, Any], payloads: set[bytes]) -> Iterator[UnverifiedJws]:
    signatures = card.get("signatures")
    if not isinstance(signatures, list):
        return
    for entry in signatures[:MAX_SIGNATURES]:
        if not isinstance(entry, dict) or not isinstance(entry.get("protected"), str):
            continue
        try:
            algorithm = parse_protected(entry["protected"])["alg"]
        except TokenError:
            continue
        signature = decode_base64url(str(entry.get("signature")))
        for payload in payloads if signature is not None else ():
            signing_input = f"{entry['protected']}.{canonical_base64url(payload)}".encode("ascii")
            # Its kid is left out: with one pinned key it has nothing to choose.
            yield UnverifiedJws({"alg": algorithm}, {}, signing_input, signature or b"")


def _without_signatures(card: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in card.items() if name != "signatures"}


def _pruned_card(card: Mapping[str, Any]) -> dict[str, Any]:
    pruned = _pruned(card) or {}
    for flag, holder in _plain_flags(pruned):
        # Protobuf booleans without presence: false is the default, and readers that keep no such field lose it.
        if holder.get(flag) is False:
            del holder[flag]
    return _pruned(pruned) or {}


def _pruned(value: Any) -> Any:
    """``value`` without null, empty strings, lists and objects, inside out; None where nothing is left."""
    if isinstance(value, Mapping):
        members = {name: _pruned(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not None} or None
    if isinstance(value, list | tuple):
        return [item for item in map(_pruned, value) if item is not None] or None
    return None if value == "" else value


def _plain_flags(card: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    extensions = _at(card, "capabilities").get("extensions")
    for extension in extensions if isinstance(extensions, list) else ():
        yield "required", _at(extension)
    for scheme in _at(card, "securitySchemes").values():
        yield "pkceRequired", _at(scheme, "oauth2SecurityScheme", "flows", "authorizationCode")


def _at(value: Any, *path: str) -> dict[str, Any]:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _canonical(value: Any) -> bytes:
    try:
        canonical = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, ValueError, RecursionError) as error:
        raise CardError(f"the card has no canonical form: {type(error).__name__}") from None
    if len(canonical) > MAX_CARD_BYTES:
        raise CardError(f"the card is larger than {MAX_CARD_BYTES} bytes")
    return canonical
