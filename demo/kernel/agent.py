"""The agent, held by its class's rules: calls a tool through the gateway, calls its server directly, reads a secret.

Reads what to do from standard input, so that its token is in no command line, and prints what came of it, both as
JSON. Errno 0 is success. Holds no Hopgate code.
"""

import asyncio
import json
import socket
import sys
from typing import Any

import httpx2
from mcp.shared.exceptions import MCPError

from demo.agents.conversation import ToolFailedError, content_of, tools_of
from demo.refusal import RefusedError
from demo.workload import Workload, from_arguments


async def balance(workload: Workload, headers: dict[str, str]) -> str:
    """What the ledger says of an account, by the gateway; or why it didn't."""
    try:
        async with tools_of(workload, "ledger", headers) as ledger:
            found = await ledger.call_tool("read_balance", {"account": "payroll"})
    except RefusedError as refused:
        return refused.refusal.reason
    except (MCPError, httpx2.HTTPError, ToolFailedError, ExceptionGroup, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return f"permitted: {content_of(found)['balance']} euros"


def connected(port: int) -> int:
    """The errno of a connection to a loopback port."""
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", port))


def opened(path: str) -> int:
    """The errno of opening a file to read."""
    try:
        with open(path, "rb"):
            return 0
    except OSError as error:
        return error.errno or -1


def main() -> None:
    """Do all of it, in order."""
    workload = from_arguments("guest")
    told: dict[str, Any] = json.load(sys.stdin)
    tool = asyncio.run(balance(workload, told["headers"]))
    done = {"tool": tool, "connect": connected(told["port"]), "open": opened(told["secret"])}
    print(json.dumps(done))


if __name__ == "__main__":
    main()
