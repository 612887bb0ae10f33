"""``hopgate upstream-tokens list|forget``: which users let the gateway use which third-party server.

Works beside a running gateway, on its store, which takes effect with the next call. Can't show a token: it has no key.
Exit status: 0 done, 1 nothing to forget, 2 could not look.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from gateway.cli import render
from gateway.cli.options import config_file
from gateway.config.load import store_url
from gateway.config.problems import Problems
from gateway.core.errors import StoreError
from gateway.store.state import open_state
from gateway.store.upstream_tokens import SqlUpstreamTokens

T = TypeVar("T")
_config = config_file(required=True)


class UpstreamTokensError(click.ClickException):
    """The store can't be read."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """One lower-case line on standard error."""
        click.echo(f"hopgate upstream-tokens: {render.printable(self.message)}", file=file, err=True)


@click.group("upstream-tokens")
def upstream_tokens() -> None:
    """Show and end the consents of users to third-party servers."""


@upstream_tokens.command("list")
@_config
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Output form.")
def list_(path: Path, form: str) -> None:
    """List who consented to what, and when; never a token."""
    found = _with_store(path, lambda kept: kept.holdings())
    if form == "json":
        click.echo(msgspec.json.encode(found))
        return
    for each in found:
        names = f"{render.printable(each.sub):<32} {render.printable(each.server):<24}"
        click.echo(f"{names} consented {_time(each.consented)}  renewed {_time(each.renewed)}")


@upstream_tokens.command()
@_config
@click.argument("user", metavar="USER")
@click.argument("server", metavar="SERVER")
def forget(path: Path, user: str, server: str) -> None:
    """Forget the tokens of USER (`<issuer name>|<subject>`) for SERVER; the next call asks for consent again.

    The third party's own list of grants is another matter: the user ends the grant there.
    """
    if not _with_store(path, lambda kept: kept.forget(user, server)):
        click.echo(f"hopgate upstream-tokens: nothing is held of {server} for {user}", err=True)
        raise SystemExit(1)


def _with_store(path: Path, ask: Callable[[SqlUpstreamTokens], Awaitable[T]]) -> T:
    url = store_url(path, os.environ)
    if isinstance(url, Problems):
        raise UpstreamTokensError(str(url))

    async def run() -> T:
        engine = await open_state(url)
        try:
            return await ask(SqlUpstreamTokens(engine))
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except StoreError as error:
        raise UpstreamTokensError(error.detail) from None


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
