"""Authors of policies, and what they send."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2

from tests.admin.conftest import Desk

VERSIONS, ROLLBACK, POLICIES = "/api/v1/policies/versions", "/api/v1/policies/rollback", "/api/v1/policies"
NO_PAYMENTS = """@id("no-payments")
forbid (principal, action == Action::"invokeTool", resource == Tool::"ledger/pay");
"""
AUTHORS = {
    "team": {"sub": "maria", "roles": ["hopgate-author"]},
    "platform": {"sub": "pat", "roles": ["hopgate-platform-author"]},
    "guardrails": {"sub": "gus", "roles": ["hopgate-guardrail-author"]},
    "everything": {
        "sub": "maria",
        "roles": ["hopgate-author", "hopgate-platform-author", "hopgate-guardrail-author"],
    },
}


def author(desk: Desk, kind: str) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
    """Somebody who may write some of the policies; Maria is of team finance."""
    return desk.person("nobody", **AUTHORS[kind])


async def seen(http: httpx2.AsyncClient) -> dict[str, str]:
    """The header that says that the version in force was seen."""
    answer = await http.get(POLICIES)
    assert answer.status_code == 200, answer.text
    return {"If-Match": answer.headers["etag"]}


async def publish(
    http: httpx2.AsyncClient, files: dict[str, str], folder: str = "", *, query: str = "", **more: Any
) -> httpx2.Response:
    """Publish over what is in force now."""
    body = {"files": files, "folder": folder, "comment": "a test"} | more
    return await http.post(VERSIONS + query, json=body, headers=await seen(http))


async def roll_back(http: httpx2.AsyncClient, version: int, folder: str = "") -> httpx2.Response:
    """Publish anew what ``version`` said."""
    body = {"version": version, "folder": folder, "comment": "as it was"}
    return await http.post(ROLLBACK, json=body, headers=await seen(http))


async def files_in_force(http: httpx2.AsyncClient) -> dict[str, str]:
    """The newest version's texts."""
    number = (await http.get(POLICIES)).json()["version"]["number"]
    return dict((await http.get(f"{VERSIONS}/{number}")).json()["files"])
