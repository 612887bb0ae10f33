"""Attack 5: a token issued for another resource, or for several at once."""

from typing import Any

import pytest

from gateway.core.errors import TokenError
from gateway.core.model import Route
from gateway.core.reasons import Reason
from tests.identity.issuing import (
    ISSUER,
    NOW,
    RESOURCE,
    ROOT_CLAIMS,
    ROUTE,
    accepted,
    changed,
    refused,
    sign,
    verifier,
)

OTHER = Route("mcp", "payroll", "/mcp/payroll", "https://gw.test:8443/mcp/payroll", "https://payroll.test/")


@pytest.mark.parametrize(
    "aud",
    [
        ...,
        None,
        "",
        [],
        {},
        1,
        True,
        OTHER.resource,
        ROUTE.audience,
        ISSUER,
        "https://gw.test:8443",
        "https://gw.test:8443/",
        "https://gw.test:8443/mcp",
        RESOURCE + "/",
        RESOURCE + "x",
        RESOURCE.upper(),
        RESOURCE + "#",
        " " + RESOURCE,
        RESOURCE + " https://other.test",
        [RESOURCE, "https://other.test"],
        ["https://other.test", RESOURCE],
        [RESOURCE, RESOURCE],
        [[RESOURCE]],
        [None],
        {RESOURCE: True},
    ],
)
async def test_other_audiences(aud: Any) -> None:
    assert await refused(sign(changed(ROOT_CLAIMS, aud=aud))) is Reason.TOKEN_AUDIENCE


async def test_token_of_one_route_at_another() -> None:
    token = sign(ROOT_CLAIMS)
    assert await accepted(token)
    with pytest.raises(TokenError) as caught:
        await verifier().verify(f"Bearer {token}", OTHER, NOW)
    assert caught.value.reason is Reason.TOKEN_AUDIENCE


async def test_one_audience_in_an_array_is_one_audience() -> None:
    assert await accepted(sign(changed(ROOT_CLAIMS, aud=[RESOURCE])))


async def test_configured_audience_is_the_issuers_only() -> None:
    token = sign(changed(ROOT_CLAIMS, aud="api://gateway"))
    assert await accepted(token, verifier(audience="api://gateway"))
    assert await refused(token) is Reason.TOKEN_AUDIENCE
    both = sign(changed(ROOT_CLAIMS, aud=["api://gateway", RESOURCE]))
    assert await refused(both, verifier(audience="api://gateway")) is Reason.TOKEN_AUDIENCE
