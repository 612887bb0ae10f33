"""Asks the admin API over the socket on the gateway's host. Answers are JSON; what isn't one says why."""

import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from gateway.admin.server import reachable
from gateway.cli import render
from gateway.config.load import socket_of
from gateway.config.problems import Problems

SECONDS = 10.0


class RefusedError(click.ClickException):
    """The gateway answered, and did not do it."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """One lower-case line on standard error."""
        click.echo(f"hopgate: {render.printable(self.message)}", file=file, err=True)


class UnreachableError(RefusedError):
    """The gateway could not be asked."""

    exit_code = 2


def socket_path(config: Path | None, given: Path | None) -> Path:
    """The socket that ``--socket`` names, or that of the gateway whose settings file ``--config`` is.

    Raises:
        UnreachableError: the settings say nothing usable of it.
    """
    if given is not None:
        return given
    if config is None:
        raise click.UsageError("give --config FILE or --socket PATH")
    found = socket_of(config, os.environ)
    if isinstance(found, Problems):
        raise UnreachableError(str(found))
    return found


def ask(
    path: Path,
    method: str,
    target: str,
    body: Any = None,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """The answer's JSON; None for an empty one.

    Raises:
        RefusedError: the gateway refused, and why.
        UnreachableError: nobody answers at the socket.
    """
    if query:
        target = f"{target}?{urlencode(query)}"
    sent = {} if body is None else {"Content-Type": "application/json"}
    try:
        with reachable(path) as address:
            connection = _Connection(address)
            connection.request(method, target, None if body is None else json.dumps(body), {**sent, **(headers or {})})
            response = connection.getresponse()
            status, content = response.status, response.read()
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        hint = "is the gateway running, as this user, on this host?"
        raise UnreachableError(f"{path}: {cause.lower()}: {hint}") from None
    if status >= 400:
        found = json.loads(content)
        detail = found.get("detail") or found["title"]
        where = f" ({found['path']})" if found.get("path") else ""
        raise RefusedError(f"{found['reason']}: {detail}{where}; {found['next_step']}")
    return json.loads(content) if content else None


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, address: str) -> None:
        super().__init__("hopgate", timeout=SECONDS)
        self._address = address

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)
