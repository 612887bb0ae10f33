"""The agent card for readers of A2A 0.3, beside the members of 1.0 in one document, as the official server does.

The members are added after signing: readers of 1.0 drop them before they verify. Decides nothing that the signed
card doesn't say already.
"""

from collections.abc import Mapping
from typing import Any

TYPES = {
    "httpAuthSecurityScheme": "http",
    "openIdConnectSecurityScheme": "openIdConnect",
    "mtlsSecurityScheme": "mutualTLS",
}


def with_0_3(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """The card, readable by A2A 0.3 too if it offers an interface of 0.3."""
    older = [each for each in card["supportedInterfaces"] if each["protocolVersion"].startswith("0.")]
    if not older:
        return card
    schemes = {name: {**scheme, **_scheme(scheme)} for name, scheme in card["securitySchemes"].items()}
    extended = card["capabilities"].get("extendedAgentCard") is True
    return {
        **card,
        "url": older[0]["url"],
        "preferredTransport": older[0]["protocolBinding"],
        "protocolVersion": older[0]["protocolVersion"],
        "securitySchemes": schemes,
        "security": [
            {name: scopes["list"] for name, scopes in requirement["schemes"].items()}
            for requirement in card["securityRequirements"]
        ],
        **({"supportsAuthenticatedExtendedCard": True} if extended else {}),
    }


def _scheme(scheme: Mapping[str, Any]) -> Mapping[str, Any]:
    [(kind, members)] = scheme.items()
    return {"type": TYPES[kind], **members}
