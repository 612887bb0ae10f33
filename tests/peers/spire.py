"""SPIRE as the workload identity of the tests: a server and an agent of one trust domain, as processes.

The agent joins with a token and knows workloads by their Unix user (``unix`` attestor). Everything polls
each second and SVIDs live for seconds, so that a test sees many rotations.
"""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.parts import require
from tests.peers.process import started
from tests.ports import free_port

SVID_SECONDS = 6
"""Shorter than SPIRE's back-dating: half of the life is always over, so the agent rotates at each poll."""

SERVER = """
server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{directory}/server.sock"
  trust_domain = "{name}"
  data_dir = "{directory}/server"
  ca_ttl = "24h"
  agent_ttl = "1h"
  experimental {{ cache_reload_interval = "1s" }}
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = "{directory}/server.sqlite3"
    }}
  }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "memory" {{ plugin_data {{}} }}
}}
"""
AGENT = """
agent {{
  server_address = "127.0.0.1"
  server_port = "{port}"
  socket_path = "{directory}/agent.sock"
  trust_domain = "{name}"
  trust_bundle_path = "{directory}/bundle.pem"
  data_dir = "{directory}/agent"
  experimental {{ sync_interval = "1s" }}
}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ directory = "{directory}/agent" }} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


class SpireError(Exception):
    """A SPIRE command failed; the message is what it said."""


@dataclass
class Domain:
    """One trust domain: its running server, and its agent, which a test may stop and start."""

    name: str
    directory: Path
    binaries: Path
    token: str = ""
    running: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def socket(self) -> Path:
        """Where the agent serves the Workload API."""
        return self.directory / "agent.sock"

    async def start_agent(self) -> None:
        """Run the agent; it attests with its join token once and keeps its identity on disk."""
        agent, config = self.binaries / "spire-agent", self.directory / "agent.conf"
        await self.running.enter_async_context(
            started([agent, "run", "-config", config, "-joinToken", self.token], ready="Starting Workload and SDS APIs")
        )

    async def stop_agent(self) -> None:
        """End the agent; its socket answers no more."""
        await self.running.aclose()

    async def documented(self, words: str, folder: Path) -> None:
        """Run ``spire-server`` as a line of the documentation says, for processes of this user; files in ``folder``."""
        command, _, output = words.partition(" > ")
        found = command.split()
        found = [str(folder / each) if each.endswith(".json") else each for each in found]
        found = [f"unix:uid:{os.getuid()}" if each.startswith("unix:user:") else each for each in found]
        if found[0] == "entry":
            found += ["-x509SVIDTTL", str(SVID_SECONDS)]
        said = await self.command(*found)
        if output:
            (folder / output).write_text(said)

    async def mint(self, path: str, folder: Path) -> None:
        """A long-lived SVID as ``svid.pem``, ``key.pem`` and ``bundle.pem`` of ``folder``, for what can't rotate."""
        await self.command("x509", "mint", "-spiffeID", f"spiffe://{self.name}{path}", "-write", str(folder))

    async def federate(self, spiffe_id: str, domain: str) -> None:
        """Let the entry of ``spiffe_id`` verify workloads of ``domain`` again."""
        shown = json.loads(await self.command("entry", "show", "-spiffeID", spiffe_id, "-output", "json"))
        (entry,) = shown["entries"]
        await self.command(
            *("entry", "update", "-entryID", entry["id"], "-parentID", f"spiffe://{self.name}/node"),
            *("-spiffeID", spiffe_id, "-selector", f"unix:uid:{os.getuid()}", "-x509SVIDTTL", str(SVID_SECONDS)),
            *("-federatesWith", f"spiffe://{domain}"),
        )

    async def bundle(self) -> str:
        """This domain's trust bundle, as one domain hands it to another."""
        return await self.command("bundle", "show", "-format", "spiffe")

    async def trust(self, domain: str, bundle: str) -> None:
        """Take ``bundle`` for the roots of another domain, from now on and instead of any before."""
        path = self.directory / "federated.json"
        path.write_text(bundle)
        await self.command("bundle", "set", "-id", f"spiffe://{domain}", "-format", "spiffe", "-path", str(path))

    async def command(self, *words: str) -> str:
        """Run a command of ``spire-server`` against this domain's server; what it printed."""
        process = await asyncio.create_subprocess_exec(
            self.binaries / "spire-server",
            *words,
            *("-socketPath", str(self.directory / "server.sock")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        if process.returncode != 0:
            raise SpireError(f"spire-server {' '.join(words[:2])}: {said.strip()}")
        return said


@contextlib.asynccontextmanager
async def spire(name: str) -> AsyncIterator[Domain]:
    """A running server of trust domain ``name`` and an agent that has joined it."""
    binaries = require("spire")
    # Not pytest's directory: a Unix socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="spire-") as path:
        directory, port = Path(path), free_port()
        for file, text in (("server.conf", SERVER), ("agent.conf", AGENT)):
            (directory / file).write_text(text.format(port=port, directory=directory, name=name))
        server, config = binaries / "spire-server", directory / "server.conf"
        async with started([server, "run", "-config", config], ready="Starting Server APIs"):
            domain = Domain(name, directory, binaries)
            (directory / "bundle.pem").write_text(await domain.command("bundle", "show"))
            said = await domain.command("token", "generate", "-spiffeID", f"spiffe://{name}/node")
            domain.token = said.split("Token:")[1].split()[0]
            await domain.start_agent()
            try:
                yield domain
            finally:
                await domain.stop_agent()
