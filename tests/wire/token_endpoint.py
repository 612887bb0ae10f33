"""The token endpoint as a bare HTTP client meets it."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import httpx2

from tests.company import Company

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
FORM = "application/x-www-form-urlencoded"


async def ask(
    company: Company,
    agent: str,
    form: Mapping[str, str] | Sequence[tuple[str, str]] | bytes,
    *,
    method: str = "POST",
    query: str = "",
    **headers: str,
) -> httpx2.Response:
    """``agent`` sends ``form``."""
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    sent = {"Content-Type": FORM} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(verify=company.client(agent), timeout=20) as http:
        return await http.request(method, f"{company.data_url}/oauth/token{query}", content=body, headers=sent)


def exchange(company: Company, token: str, target: str = "mcp/ledger", **more: str | None) -> dict[str, str]:
    """The parameters of a token exchange; one set to None is left out."""
    form: dict[str, Any] = {
        "grant_type": EXCHANGE,
        "resource": f"{company.data_url}/{target}",
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
    } | more
    return {name: value for name, value in form.items() if value is not None}


def error_of(reply: httpx2.Response) -> tuple[int, str, str]:
    """HTTP status, OAuth error and reason; the answer is one that no cache keeps."""
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-type"] == "application/json"
    found = reply.json()
    return reply.status_code, found["error"], found["reason"]
