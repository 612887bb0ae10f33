"""The token endpoint through stock OAuth libraries: discovery, exchange, narrowing, an error, a call with the token."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import jwt
import pytest
import pytest_asyncio
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from tests.company import DOMAIN, Company
from tests.peers.parts import PEERS, require
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import call, headers_of, through_gateway
from tests.wire.token_endpoint import ACCESS_TOKEN, EXCHANGE

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANALYST = f"spiffe://{DOMAIN}/agent/analyst"
READ = call("read_balance")


class Stage(NamedTuple):
    company: Company
    held: str
    """The hop token that the analyst received."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        yield Stage(company, await delegated(company, analyst))


async def metadata_of(company: Company) -> dict[str, Any]:
    async with httpx.AsyncClient(verify=company.anyone()) as http:
        return dict((await http.get(f"{company.public_url}/.well-known/oauth-authorization-server")).json())


async def test_authlib(stage: Stage) -> None:
    company = stage.company
    metadata = await metadata_of(company)
    assert EXCHANGE in metadata["grant_types_supported"]
    assert metadata["token_endpoint_auth_methods_supported"] == ["tls_client_auth"]
    url = f"{company.data_url}/mcp/ledger"
    async with AsyncOAuth2Client(
        client_id=ANALYST,
        token_endpoint_auth_method="none",
        verify=company.client("analyst"),
    ) as client:
        request = {"grant_type": EXCHANGE, "subject_token_type": ACCESS_TOKEN, "resource": url}
        endpoint = metadata["mtls_endpoint_aliases"]["token_endpoint"]
        token = await client.fetch_token(endpoint, subject_token=stage.held, **request)
        assert token["scope"].split() == [
            "ledger/count", "ledger/list_entries", "ledger/pay", "ledger/read_balance", "ledger/slow",
        ]  # fmt: skip
        narrow = await client.fetch_token(
            endpoint, subject_token=token["access_token"], scope="ledger/read_balance", **request
        )
        assert narrow["scope"] == "ledger/read_balance"
        assert narrow["expires_at"] > 0
        reply = await client.post(url, json=READ, headers=headers_of(READ))
        assert reply.status_code == 200, reply.text
        with pytest.raises(OAuthError) as refused:
            await client.fetch_token(endpoint, subject_token=narrow["access_token"], scope="ledger/pay", **request)
    assert refused.value.error == "invalid_scope"
    assert "ledger/pay" in refused.value.description
    assert jwt.decode(narrow["access_token"], options={"verify_signature": False})["client_id"] == ANALYST


async def openid_client(company: Company, parameters: dict[str, str]) -> dict[str, Any]:
    """What the npm client gets for a token exchange as the analyst."""
    node, files = require("node"), company.svid("agent/analyst")
    require("npm:openid-client")
    process = await asyncio.create_subprocess_exec(
        node,
        PEERS / "oauth_client.mjs",
        company.public_url,
        ANALYST,
        EXCHANGE,
        json.dumps(parameters),
        env={
            "PATH": os.environ["PATH"],
            "CERT": str(files.certificate),
            "KEY": str(files.key),
            "CA": str(files.bundle),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    return dict(json.loads(out))


async def test_openid_client(stage: Stage) -> None:
    company = stage.company
    url = f"{company.data_url}/mcp/ledger"
    request = {"subject_token_type": ACCESS_TOKEN, "resource": url}
    first = await openid_client(company, {"subject_token": stage.held, **request})
    assert "token" in first, first
    assert first["metadata"]["token_endpoint"] == f"{company.data_url}/oauth/token"
    token = first["token"]
    assert (token["token_type"], token["expires_in"], token["issued_token_type"]) == ("bearer", 300, ACCESS_TOKEN)
    narrow = await openid_client(
        company, {"subject_token": token["access_token"], "scope": "ledger/read_balance", **request}
    )
    assert narrow["token"]["scope"] == "ledger/read_balance"
    async with httpx.AsyncClient(verify=company.client("analyst")) as http:
        headers = {**headers_of(READ), "Authorization": f"Bearer {narrow['token']['access_token']}"}
        assert (await http.post(url, json=READ, headers=headers)).status_code == 200
    wide = {"subject_token": narrow["token"]["access_token"], "scope": "ledger/pay", **request}
    refused = (await openid_client(company, wide))["error"]
    assert (refused["error"], refused["status"]) == ("invalid_scope", 400)
    assert "ledger/pay" in refused["description"]
