"""The official npm ``server-everything`` as an MCP upstream over plain HTTP."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.peers.parts import require
from tests.peers.process import started
from tests.ports import free_port


@contextlib.asynccontextmanager
async def everything() -> AsyncIterator[str]:
    """Run the server (up to MCP 2025-11-25, with sessions); yields its endpoint, ``http://127.0.0.1:…/mcp``."""
    node = require("node")
    package = require("npm:@modelcontextprotocol/server-everything")
    port = free_port()
    command: list[str | Path] = [node, package / "dist" / "index.js", "streamableHttp"]
    async with started(command, ready="listening on port", env={"PORT": str(port)}):
        yield f"http://127.0.0.1:{port}/mcp"
