"""One node whose kernel the gateway keeps at its rules: what the pusher and the follower of its events share."""

import time
from collections.abc import Callable
from typing import NamedTuple

from gateway.app.kernel.loader_client import LoaderClient
from gateway.app.telemetry import Telemetry
from gateway.core.kernel.standing import KernelNodes


class Node(NamedTuple):
    """A loader, and where what is known of its node is kept."""

    name: str
    loader: LoaderClient
    kept: KernelNodes
    telemetry: Telemetry
    clock: Callable[[], float] = time.time
