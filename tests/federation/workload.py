"""Processes of the federation's hosts: agents, the ledger, and whoever asks them something.

``python -m tests.federation.workload KIND JSON``: what it needs is in the JSON. Prints ``ready`` when it listens, or
its answer.
"""

import asyncio
import json
import ssl
import sys
from dataclasses import dataclass
from typing import Any

import uvicorn

from tests.gateways import listening
from tests.wire.agent import Agent, asking, heard, said
from tests.wire.ledger import Ledger


@dataclass
class Desk:
    """What an agent knows of its company: its gateway, and its own certificate."""

    data_url: str
    certificate: str
    key: str
    gateway_roots: str
    upstreams: dict[str, int]

    def client(self, _: str) -> ssl.SSLContext:
        """Towards the gateway, as itself."""
        context = ssl.create_default_context(cafile=self.gateway_roots)
        context.load_cert_chain(self.certificate, self.key)
        return context


async def serve(application: Any, facts: dict[str, Any]) -> None:
    """An upstream: HTTPS with its SVID, for workloads of its gateway's domain only."""
    config = uvicorn.Config(
        application,
        host=facts["host"],
        port=facts["port"],
        log_level="warning",
        ssl_certfile=facts["certificate"],
        ssl_keyfile=facts["key"],
        ssl_ca_certs=facts["gateway_roots"],
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
    async with listening(config):
        print("ready", flush=True)
        await asyncio.Event().wait()


def desk(facts: dict[str, Any]) -> Any:
    """The company as ``tests.wire.agent`` knows it."""
    return Desk(facts["data_url"], facts["certificate"], facts["key"], facts["gateway_roots"], {facts["name"]: 0})


async def agent(facts: dict[str, Any]) -> None:
    """An A2A agent that does what its message says."""
    await serve(Agent(desk(facts), facts["name"]).application, facts)


async def ledger(facts: dict[str, Any]) -> None:
    """The MCP server."""
    await serve(Ledger().application, facts)


async def ask(facts: dict[str, Any]) -> None:
    """Send an agent a message as another; print what it says."""
    async with asking(desk(facts), facts["name"], facts["target"], token=facts["token"]) as client:
        print(said(await heard(client, facts["text"])))


KINDS = {"agent": agent, "ledger": ledger, "ask": ask}

if __name__ == "__main__":
    asyncio.run(KINDS[sys.argv[1]](json.loads(sys.argv[2])))
