"""A bare reverse proxy on aiohttp, server and client, that authorizes nothing.

python -m bench.aiohttp_proxy PORT UPSTREAM-PORT CERTIFICATE KEY CA
"""

import asyncio
import sys
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web

from bench.identities import client_context, server_context
from gateway.identity.dev import IssuedFiles

FORWARDED = ("Content-Type", "Accept", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name")


async def serve(port: int, upstream_port: int, own: IssuedFiles) -> None:
    upstream = f"https://localhost:{upstream_port}/mcp"
    connector = aiohttp.TCPConnector(limit=0, ssl=client_context(own), keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {name: request.headers[name] for name in FORWARDED if name in request.headers}
            async with session.post(upstream, data=body, headers=headers) as answer:
                content = await answer.read()
                return web.Response(
                    status=answer.status, body=content, headers={"Content-Type": answer.headers["Content-Type"]}
                )

        application = web.Application()
        application.router.add_post("/{path:.*}", forward)
        runner = web.AppRunner(application, access_log=None, keepalive_timeout=60)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=server_context(own), backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), IssuedFiles(*map(Path, sys.argv[3:6]))))
