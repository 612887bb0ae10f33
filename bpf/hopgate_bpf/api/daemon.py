"""The loader process: node, events and API together, from start to stop. Tells systemd when it is ready."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hopgate_bpf.api.handlers import Handlers
from hopgate_bpf.api.server import Server
from hopgate_bpf.node.events import EventLog
from hopgate_bpf.node.kept import StateFolder
from hopgate_bpf.node.loader import Loader
from hopgate_bpf.node.node import Node
from hopgate_bpf.node.resolver import Resolver
from hopgate_bpf.node.settings import Settings

Say = Callable[[str], None]


async def serve(settings: Settings, loader: Loader, resolver: Resolver, say: Say) -> None:
    """Run until SIGTERM or SIGINT. What the kernel enforces stays in force after that.

    Raises:
        RefusedError: it can't start.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    with StateFolder(Path(settings.state)).held():
        node = Node(settings, loader, resolver, time.monotonic)
        events = EventLog(loader, node.policy_of, time.time, settings.limits.events_kept, settings.limits.event_streams)
        server = Server(settings, Handlers(node, events, settings.limits).answer)
        try:
            await node.start()
            await server.start()
            await _tell(node, say)
            async with asyncio.TaskGroup() as group:
                following = (node.follow(), events.read(), node.shadows.follow(events.add))
                running = [group.create_task(each) for each in following]
                await stopped.wait()
                for task in running:
                    task.cancel()
        finally:
            await server.stop()
            await resolver.close()


async def _tell(node: Node, say: Say) -> None:
    status = await node.status()
    say(f"node {status.node}: {f'generation {status.generation}' if status.generation else 'no rules yet'}")
    for text in filter(None, (status.problem, *status.not_enforced)):
        say(text)
    notify("READY=1")


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)), where it listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            told.sendto(state.encode(), address.replace("@", "\0", 1))
