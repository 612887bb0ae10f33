"""An upstream's agent card as the gateway publishes it: the same agent, reached and secured by the gateway.

Read from cards of A2A 1.0 and 0.3, and built member by member from what 1.0 defines, so that no address of the
upstream slips through. Doesn't verify the upstream's signature and doesn't sign: both are ``identity.cards``'.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gateway.protocols.a2a.methods import CURRENT, SERVED, UNVERSIONED
from gateway.protocols.a2a.shapes import Shape, normal
from gateway.protocols.jsonrpc import malformed_answer
from gateway.protocols.members import AmbiguousMemberError, members

BINDING = "JSONRPC"
"""What the upstream must speak."""
OFFERED = (BINDING, "HTTP+JSON")
MUTUAL_TLS, BEARER, OPEN_ID = "mutualTls", "bearer", "openId"

SKILL = Shape(
    members("id", "name", "description", "tags", "examples", "inputModes", "outputModes", "securityRequirements")
)
INTERFACE = Shape(members("url", "protocolBinding", "tenant", "protocolVersion"))
CAPABILITIES = Shape(members("streaming", "pushNotifications", "extensions", "extendedAgentCard"))
CARD = Shape(
    members(
        "name", "description", "supportedInterfaces", "provider", "version", "documentationUrl", "capabilities",
        "securitySchemes", "securityRequirements", "defaultInputModes", "defaultOutputModes", "skills", "signatures",
        "iconUrl", "url", "preferredTransport", "protocolVersion", "additionalInterfaces",
        "supportsAuthenticatedExtendedCard",
    ),
    {"supportedInterfaces": INTERFACE, "capabilities": CAPABILITIES, "skills": SKILL},
)  # fmt: skip
TEXTS = ("name", "description", "version")
LISTS = ("defaultInputModes", "defaultOutputModes", "skills")
OPTIONAL = ("provider", "documentationUrl", "iconUrl")
CARRIED_CAPABILITIES = ("streaming", "pushNotifications", "extendedAgentCard")
SKILL_MEMBERS = ("id", "name", "description", "tags", "examples", "inputModes", "outputModes")


def rewrite_card(
    card: Any,
    public_url: str,
    *,
    clients: Literal["agents", "user-only"] = "agents",
    user: Literal["required", "optional"] = "required",
    issuers: Sequence[str] = (),
) -> Mapping[str, Any]:
    """The gateway's card for the agent, unsigned, in A2A 1.0 JSON.

    ``public_url`` is the route's URL; ``clients`` and ``user`` are the route's, ``issuers`` the OIDC issuer URLs
    whose tokens it takes. Every tenant that the agent serves by JSON-RPC 1.0 is offered by both bindings; extensions
    are not, since the gateway doesn't carry them. What speaks 0.3 is offered by JSON-RPC 0.3.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED, naming what is missing.
    """
    named = _named(card)
    schemes = _schemes(clients, issuers)
    kept = {name: named[name] for name in OPTIONAL if named.get(name)}
    return {
        **{name: named[name] for name in TEXTS},
        **kept,
        "supportedInterfaces": _interfaces(named, public_url),
        "capabilities": {name: True for name in CARRIED_CAPABILITIES if named["capabilities"].get(name) is True},
        "securitySchemes": schemes,
        "securityRequirements": _requirements(schemes, clients, user),
        "defaultInputModes": named["defaultInputModes"],
        "defaultOutputModes": named["defaultOutputModes"],
        "skills": [_skill(skill) for skill in named["skills"]],
    }


def _named(card: Any) -> Mapping[str, Any]:
    try:
        named = normal(card, CARD)
    except AmbiguousMemberError as error:
        raise malformed_answer(f"an agent card with {error}") from None
    if not isinstance(named, dict):
        raise malformed_answer("an agent card that is not an object")
    for name in TEXTS:
        if not isinstance(named.get(name), str):
            raise malformed_answer(f"an agent card without {name}")
    for name in (*LISTS, "supportedInterfaces"):
        if not isinstance(named.setdefault(name, []), list):
            raise malformed_answer(f"an agent card whose {name} is not an array")
    capabilities = named.setdefault("capabilities", {})
    if not isinstance(capabilities, dict):
        raise malformed_answer("an agent card whose capabilities is not an object")
    if named.get("supportsAuthenticatedExtendedCard") is True:
        named["capabilities"] = {**capabilities, "extendedAgentCard": True}
    return named


def _interfaces(card: Mapping[str, Any], public_url: str) -> list[Mapping[str, str]]:
    spoken = [
        each
        for each in (*card["supportedInterfaces"], *_older_interfaces(card))
        if isinstance(each, dict) and each.get("protocolBinding") == BINDING
    ]
    tenants = dict.fromkeys(
        each.get("tenant") or ""
        for each in spoken
        if _version(each) == CURRENT and isinstance(each.get("tenant", ""), str)
    )
    found: list[Mapping[str, str]] = [
        {"url": public_url, "protocolBinding": binding, "protocolVersion": CURRENT}
        | ({"tenant": tenant} if tenant else {})
        for binding in OFFERED
        for tenant in tenants
    ]
    if any(_version(each) == UNVERSIONED for each in spoken):
        found.append({"url": public_url, "protocolBinding": BINDING, "protocolVersion": UNVERSIONED})
    if not found:
        raise malformed_answer(f"an agent card without a {BINDING} interface of A2A {' or '.join(SERVED)}")
    return found


def _older_interfaces(card: Mapping[str, Any]) -> list[Any]:
    """The interfaces of a card of A2A 0.3, which says its version once."""
    version = card.get("protocolVersion")
    first = {"transport": card.get("preferredTransport", BINDING)} if card.get("url") else None
    more = card.get("additionalInterfaces")
    return [
        {"protocolBinding": each.get("transport"), "protocolVersion": version}
        for each in (first, *(more if isinstance(more, list) else ()))
        if isinstance(each, dict)
    ]


def _version(interface: Mapping[str, Any]) -> str | None:
    """The served version that an interface names, with or without a patch number."""
    named = interface.get("protocolVersion")
    return next((each for each in SERVED if isinstance(named, str) and (named + ".").startswith(each + ".")), None)


def _skill(skill: Any) -> Mapping[str, Any]:
    if not isinstance(skill, dict):
        raise malformed_answer("an agent card with a skill that is not an object")
    return {name: skill[name] for name in SKILL_MEMBERS if name in skill}


def _schemes(clients: str, issuers: Sequence[str]) -> Mapping[str, Any]:
    bearer = {"httpAuthSecurityScheme": {"scheme": "Bearer", "bearerFormat": "JWT"}}
    mutual_tls = {"mtlsSecurityScheme": {"description": "SPIFFE X.509-SVID of a registered agent"}}
    found: dict[str, Any] = {MUTUAL_TLS: mutual_tls} if clients == "agents" else {}
    found[BEARER] = bearer
    for number, issuer in enumerate(issuers, 1):
        url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        found[OPEN_ID if number == 1 else f"{OPEN_ID}{number}"] = {
            "openIdConnectSecurityScheme": {"openIdConnectUrl": url}
        }
    return found


def _requirements(schemes: Mapping[str, Any], clients: str, user: str) -> list[Mapping[str, Any]]:
    """Alternatives; within each, every scheme is needed (A2A 1.0 §4.5)."""
    always = [MUTUAL_TLS] if clients == "agents" else []
    users = [[*always, name] for name in schemes if name != MUTUAL_TLS]
    alternatives = [*users, always] if user == "optional" and always else users
    return [{"schemes": {name: {"list": []} for name in names}} for names in alternatives]
