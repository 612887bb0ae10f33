"""A company whose people decide in a pager and in Slack, and what these send."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
from standardwebhooks import Webhook

from tests.approving import LARGE, People, approving
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway

SECRET = "whsec_" + base64.b64encode(b"i" * 32).decode()
SIGNING = b"0123456789abcdef0123456789abcdef"
LOGIN = "https://login.demo.test"


def integrated(directory: Path, **terms: Any) -> Company:
    """Ann and Bob are finance leads by the registry; Eve isn't; Maria is whom the calls are made for."""
    company = approving(directory, **terms)
    (directory / "pager").write_text(SECRET)
    (directory / "slack").write_bytes(SIGNING)
    for name, groups in {
        "ann": ["finance-leads"],
        "bob": ["finance-leads"],
        "eve": [],
        "maria": ["finance-leads"],
    }.items():
        person = {"issuer": LOGIN, "name": name.title(), "team": "finance", "groups": groups}
        company.registry["people"][f"corp|{name}"] = person
    named = {name: f"corp|{name}" for name in ("ann", "bob", "eve", "maria")}
    company.settings["webhooks"] = {
        "integrations": {
            "pager": {"kind": "standard", "secrets": ["file:pager"], "people": named | {"gone": "corp|gone"}},
            "chat": {
                "kind": "slack", "secrets": ["file:slack"], "team": "T1",
                "people": {f"U{name}": who for name, who in named.items()},
            },
        }
    }  # fmt: skip
    return company


def signed(body: bytes, *, secret: str = SECRET, name: str = "m1", at: float | None = None) -> dict[str, str]:
    """The headers by the official library."""
    moment = datetime.fromtimestamp(int(time.time() if at is None else at), UTC)
    signature = Webhook(secret).sign(name, moment, body.decode())
    return {
        "Content-Type": "application/json", "webhook-id": name, "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }  # fmt: skip


def pressed(approval: str, who: str = "Uann", action: str = "hopgate_approve", team: str = "T1") -> bytes:
    """What Slack posts when somebody presses a button."""
    payload = {
        "type": "block_actions", "user": {"id": who, "username": "x"}, "team": {"id": team, "domain": "x"},
        "api_app_id": "A1", "trigger_id": "1.2", "response_url": "https://hooks.slack.com/actions/x",
        "actions": [{"action_id": action, "block_id": "hopgate_decide", "type": "button", "value": approval}],
    }  # fmt: skip
    return urlencode({"payload": json.dumps(payload)}).encode()


def signed_slack(body: bytes, *, at: float | None = None, secret: bytes = SIGNING) -> dict[str, str]:
    """Slack's headers."""
    moment = str(int(time.time() if at is None else at))
    signature = hmac.new(secret, f"v0:{moment}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/x-www-form-urlencoded", "X-Slack-Request-Timestamp": moment,
        "X-Slack-Signature": f"v0={signature}",
    }  # fmt: skip


@dataclass
class Elsewhere:
    """What waits, and a connection of nobody in particular."""

    people: People
    http: httpx2.AsyncClient
    approval: str
    sent: int = 0

    def body(self, decision: str = "approve", by: str = "ann", **more: Any) -> bytes:
        return json.dumps({"decision": decision, "by": by, **more}).encode()

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, approval: str = "", integration: str = "pager"
    ) -> httpx2.Response:
        """Send it, signed as a new message unless ``headers`` say otherwise."""
        self.sent += 1
        headers = signed(body, name=f"m{self.sent}") if headers is None else headers
        path = f"/webhooks/approvals/{approval or self.approval}?integration={integration}"
        return await self.http.post(path, content=body, headers=headers)

    async def press(self, body: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
        """Send what Slack sends."""
        return await self.http.post("/webhooks/slack/chat", content=body, headers=headers or signed_slack(body))

    async def state(self) -> tuple[str, int]:
        """How it stands, and how many words were said."""
        shown = await self.people.show(self.approval)
        return shown["state"], len(shown["votes"])


@asynccontextmanager
async def elsewhere(company: Company) -> AsyncIterator[Elsewhere]:
    """A payment of Maria's that waits."""
    people = People(company)
    async with (
        through_gateway(company, Ledger()),
        bare(company) as wire,
        httpx2.AsyncClient(base_url=people.desk.url, verify=company.anyone(), timeout=20) as http,
    ):
        await post(wire, call("pay", **LARGE))
        yield Elsewhere(people, http, (await people.soon())["id"])
