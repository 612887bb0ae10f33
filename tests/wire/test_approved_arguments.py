"""Argument types come from approved definitions: a server can't change them, nor can an approval break a policy."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

from gateway.core.pins import definition_of
from tests.company import Company
from tests.gateways import HOPGATE, asgi, running
from tests.wire.mcp_calls import Wire, answer_of, bare, call, modern, post, refusal_of

READING = """
@id("pay")
permit (principal in Group::"finance-agents", action == Action::"invokeTool", resource == Tool::"ledger/pay")
when { context has args.ledger.pay && !(context.args.ledger.pay has memo && context.args.ledger.pay.memo == "secret") };
@id("no-large-payments")
forbid (principal, action == Action::"invokeTool", resource == Tool::"ledger/pay")
when { context has args.ledger.pay && context.args.ledger.pay.amount > 1000 };
"""
AMOUNT = {"amount": {"type": "integer"}}


def definition(**properties: Any) -> dict[str, Any]:
    return {"name": "pay", "inputSchema": {"type": "object", "properties": properties, "required": ["amount"]}}


FIRST = definition(**AMOUNT, memo={"type": "string"})
BREAKING = definition(amount={"type": "string"}, memo={"type": "string"})
OPTIONAL = {**FIRST, "inputSchema": {**FIRST["inputSchema"], "required": []}}
DEFAULTED = definition(**AMOUNT, memo={"type": "string", "default": "none"})


class Server:
    """Lists one tool as it is now, and keeps the arguments that reach it."""

    def __init__(self) -> None:
        self.tool = FIRST
        self.sent: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        message = json.loads((await receive())["body"])
        lists = message["method"] == "tools/list"
        if not lists:
            self.sent.append(message["params"]["arguments"])
        result = {"resultType": "complete"} | ({"tools": [self.tool]} if lists else {"content": []})
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def listed(wire: Wire) -> list[str]:
    return [tool["name"] for tool in answer_of(await post(wire, modern("tools/list")))["result"]["tools"]]


async def approve(company: Company, tool: dict[str, Any]) -> tuple[int, str]:
    command = [HOPGATE, "tools", "approve", "--config", company.config, "ledger/pay", definition_of(tool).digest]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


async def test_types_are_those_of_the_approved_definition(tmp_path: Path) -> None:
    company, server = Company(tmp_path), Server()
    del company.registry["servers"]["ledger"]["tools"]["pay"]["input_schema"]
    company.policies["platform/pay.cedar"] = READING.split("when")[0] + ";"
    upstream = asgi(server, company, "server/ledger", company.upstreams["ledger"])
    async with upstream, running(company), bare(company) as wire, asyncio.timeout(60):
        assert await listed(wire) == ["pay"], "the first definition is the approved one"
        company.policies["platform/pay.cedar"] = READING
        company.write()
        while (await post(wire, call("pay", amount=5000))).status_code == 200:
            pass
        assert refusal_of(await post(wire, call("pay", amount=5000)))[2] == "forbidden"
        assert refusal_of(await post(wire, call("pay", amount="5000")))[2] == "arguments_invalid"

        for broken in (BREAKING, OPTIONAL):
            server.tool = broken
            assert await listed(wire) == [], "it waits, and no type has changed"
            code, said = await approve(company, broken)
            assert code == 2
            assert "ledger/pay is not approved" in said
            assert "platform/pay.cedar" in said
            assert "no-large-payments" in said

        server.tool = DEFAULTED
        assert await listed(wire) == []
        assert await approve(company, DEFAULTED) == (0, "")
        server.sent.clear()
        while not server.sent or server.sent[-1] == {"amount": 5}:
            await post(wire, call("pay", amount=5))
        assert server.sent[-1] == {"amount": 5, "memo": "none"}
    upstream = asgi(server, company, "server/ledger", company.upstreams["ledger"])
    async with upstream, running(company), bare(company) as wire:
        assert refusal_of(await post(wire, call("pay", amount=5000)))[2] == "forbidden", "and after a restart"
