"""The official npm MCP client (`@modelcontextprotocol/sdk`), driven from Python tests."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.parts import PEERS, require

SECONDS = 30.0


@dataclass(frozen=True)
class MutualTls:
    """What the client shows and trusts: PEM files, and the SPIFFE ID that the server must have."""

    certificate: Path
    key: Path
    ca: Path
    server: str | None = None
    """None checks the host name instead."""


async def list_tools(url: str, *, token: str | None = None, tls: MutualTls | None = None) -> dict[str, Any]:
    """``{result: {tools}, server, protocol}``, or ``{error: {message, code, data, cause}}``."""
    return await run([url, "list"], token, tls)


async def call_tool(
    url: str,
    tool: str,
    arguments: dict[str, Any],
    *,
    token: str | None = None,
    tls: MutualTls | None = None,
    opens_urls: bool = False,
) -> dict[str, Any]:
    """``{result: {content, …, progress}, server, protocol}``, or ``{error: {message, code, data, cause}}``."""
    return await run([url, "call", tool, json.dumps(arguments)], token, tls, opens_urls=opens_urls)


async def hear(url: str, tool: str, *, token: str | None = None, tls: MutualTls | None = None) -> dict[str, Any]:
    """``{result: {heard}, server, protocol}``: the first change of a resource told while ``tool`` is called."""
    return await run([url, "hear", tool], token, tls)


async def run(
    arguments: list[str], token: str | None, tls: MutualTls | None, *, opens_urls: bool = False
) -> dict[str, Any]:
    """One run of the client: connects, does one operation, prints one JSON object."""
    node = require("node")
    require("npm:@modelcontextprotocol/sdk")
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    if opens_urls:
        env["OPENS_URLS"] = "1"
    if token is not None:
        env["TOKEN"] = token
    if tls is not None:
        env |= {"CERT": str(tls.certificate), "KEY": str(tls.key), "CA": str(tls.ca)}
        env |= {"SPIFFE_ID": tls.server} if tls.server else {}
    process = await asyncio.create_subprocess_exec(
        str(node),
        str(PEERS / "mcp_client.mjs"),
        *arguments,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"npm client ended with {process.returncode}: {err.decode()[-2000:]}"
    answer: dict[str, Any] = json.loads(out)
    return answer
