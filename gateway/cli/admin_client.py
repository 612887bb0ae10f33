"""Asks the admin API, over the socket on the gateway's host or over TLS. Answers are JSON; what isn't one says why."""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from gateway.admin.server import reachable
from gateway.cli import render
from gateway.config.load import socket_of
from gateway.config.problems import Problems

SECONDS = 10.0


class RefusedError(click.ClickException):
    """The gateway answered, and did not do it."""

    exit_code = 1

    def __init__(self, message: str, found: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.found: Mapping[str, Any] = {} if found is None else found
        """The problem document."""

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


@dataclass(frozen=True)
class Remote:
    """A gateway's admin API over TLS. The token, or else the certificate, says who asks."""

    url: str
    """``https://gateway:9443``."""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str = field(default="", repr=False)

    def connection(self, seconds: float) -> http.client.HTTPConnection:
        """A connection to be made.

        Raises:
            UnreachableError: a file can't be used, or the URL isn't one.
        """
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise UnreachableError(f"{self.url}: not the URL of an admin API; write https://HOST:PORT")
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            raise UnreachableError(f"the CA, certificate or key can't be used: {error}") from None
        return http.client.HTTPSConnection(parts.hostname, parts.port or 443, timeout=seconds, context=context)


def ask(
    where: Path | Remote,
    method: str,
    target: str,
    body: Any = None,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> Any:
    """The answer's JSON; None for an empty one. ``where`` is a socket's path, or an API over TLS.

    Raises:
        RefusedError: the gateway refused, and why.
        UnreachableError: nobody answers at the socket.
    """
    if query:
        target = f"{target}?{urlencode(query)}"
    sent = dict(headers or {}) | ({} if body is None else {"Content-Type": "application/json"})
    if isinstance(where, Remote) and where.token:
        sent["Authorization"] = f"Bearer {where.token}"
    try:
        with _connected(where, seconds) as connection:
            connection.request(method, target, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            status, content = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        place, hint = str(where), "is the gateway running, as this user, on this host?"
        if isinstance(where, Remote):
            place, hint = where.url, "is the URL right, and does --ca vouch for the gateway?"
        raise UnreachableError(f"{place}: {cause.lower()}: {hint}") from None
    if status >= 400:
        found = json.loads(content)
        detail = found.get("detail") or found["title"]
        place = f" ({found['path']})" if found.get("path") else ""
        raise RefusedError(f"{found['reason']}: {detail}{place}; {found['next_step']}", found)
    return json.loads(content) if content else None


@contextmanager
def _connected(where: Path | Remote, seconds: float) -> Iterator[http.client.HTTPConnection]:
    if isinstance(where, Remote):
        with closing(where.connection(seconds)) as connection:
            yield connection
        return
    with reachable(where) as address, closing(_Connection(address, seconds)) as connection:
        yield connection


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, address: str, seconds: float) -> None:
        super().__init__("hopgate", timeout=seconds)
        self._address = address

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)
