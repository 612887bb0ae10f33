"""How the ``policy`` commands reach a running gateway's admin API: its socket, or TLS with a token or an SVID.

Problems of policies end with 3, a refusal with 2, everything else with 1.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.cli.admin_client import RefusedError, Remote, UnreachableError, ask, socket_path
from gateway.cli.options import config_file
from gateway.cli.policy.bundles import DENIED, INVALID, PolicyCommandError
from gateway.cli.render import printable

PATH = "/api/v1/policies"
TOKEN = "HOPGATE_ADMIN_TOKEN"
SECONDS = 120.0
"""A publish compiles everything, runs the tests and may replay records."""
Where = Path | Remote

F = TypeVar("F", bound=Callable[..., Any])


def reaching(command: F) -> F:
    """The options that name a gateway; ``where_of`` reads them."""
    file = click.Path(dir_okay=False, path_type=Path)
    for option in (
        click.option("--key", type=file, help="The certificate's private key."),
        click.option("--cert", type=file, help="An agent's SVID, for automation."),
        click.option("--ca", type=file, help="PEM certificates that vouch for the gateway; the system's by default."),
        click.option("--url", help=f"Admin API of another host, https://HOST:9443; a person's token is ${TOKEN}."),
        click.option("--socket", type=file, help="The gateway's admin socket, in place of --config."),
        config_file("config"),
    ):
        command = option(command)
    return command


def where_of(given: dict[str, Any]) -> Where:
    """Where the options lead; takes them out of ``given``."""
    config, socket, url = given.pop("config"), given.pop("socket"), given.pop("url")
    ca, certificate, key = given.pop("ca"), given.pop("cert"), given.pop("key")
    if url is not None:
        return Remote(url, ca, certificate, key, os.environ.get(TOKEN, ""))
    if ca or certificate or key:
        raise click.UsageError("--ca, --cert and --key are for --url")
    try:
        return socket_path(config, socket)
    except UnreachableError as error:
        raise PolicyCommandError(error.message) from None


def request(
    where: Where,
    method: str,
    target: str,
    body: Any = None,
    query: Mapping[str, Any] | None = None,
    on: str | None = None,
) -> Any:
    """The answer's JSON; ``on`` is the digest of the version that a change was made from."""
    headers = {} if on is None else {"If-Match": f'"{on}"'}
    try:
        return ask(where, method, PATH + target, body, query, headers, SECONDS)
    except UnreachableError as error:
        raise PolicyCommandError(error.message) from None
    except RefusedError as error:
        problems = error.found.get("problems", ())
        for each in problems:
            click.echo(printable(_told(each)), err=True)
        if problems:
            raise SystemExit(INVALID) from None
        click.echo(f"hopgate policy: {printable(error.message)}", err=True)
        raise SystemExit(DENIED if error.found.get("status") in (401, 403) else 1) from None


def _told(problem: Mapping[str, Any]) -> str:
    place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
    text = ": ".join(filter(None, (place, problem["key"], problem["message"])))
    return f"{text} ({problem['hint']})" if problem["hint"] else text
