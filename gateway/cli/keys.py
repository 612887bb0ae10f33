"""``hopgate keys list|rotate``: the keys that hop tokens are signed with, and how they are replaced out of turn.

Works beside running gateways, on their store; they follow within a second. Exit status: 0 done, 1 not done, 2 could
not look.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from gateway.app.parts import PartError, signer_of
from gateway.app.signing import key_ring
from gateway.cli import render
from gateway.cli.options import config_file
from gateway.config.load import load
from gateway.config.problems import Problems
from gateway.config.settings import Settings
from gateway.core import key_schedule
from gateway.core.errors import StoreError
from gateway.core.key_schedule import SealedKey
from gateway.identity.key_ring import KeyRing
from gateway.identity.signer import Signer
from gateway.store.state import open_state

T = TypeVar("T")


class KeysError(click.ClickException):
    """The keys can't be read, or not in this way."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """One lower-case line on standard error."""
        click.echo(f"hopgate keys: {render.printable(self.message)}", file=file, err=True)


class Standing(msgspec.Struct, frozen=True):
    """One line of ``list``. Times are RFC 3339."""

    kid: str
    algorithm: str
    state: str
    """``signs``, ``waits``, ``published`` (signs no more), ``distrusted`` or ``over``."""
    signs_from: str | None


_config = config_file(required=True)


@click.group()
def keys() -> None:
    """Show the keys that hop tokens are signed with, and replace them."""


@keys.command("list")
@_config
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Output form.")
def list_(path: Path, form: str) -> None:
    """List signing keys, oldest first."""
    settings = _settings(path)
    if settings.keys.signing.source == "store":
        found = _standings(_with_ring(settings, lambda ring: ring.listed()), int(time.time()))
    else:
        signer = _signer_of_file(settings)
        found = [Standing(signer.kid, signer.algorithm, "signs", None)]
    if form == "json":
        click.echo(msgspec.json.encode(found))
        return
    for each in found:
        click.echo(f"{each.kid}  {each.algorithm:<6}  {each.state:<10}  {each.signs_from or '-'}")


@keys.command()
@_config
@click.option("--now", is_flag=True, help="Distrust every key at once: all hop tokens under way are refused.")
def rotate(path: Path, now: bool) -> None:
    """Make the next signing key; it signs after keys.signing.lead_minutes.

    With --now the new key signs at once, and no other is trusted any more: for a key that may have been stolen.
    """
    settings = _settings(path)
    if settings.keys.signing.source != "store":
        raise KeysError(
            f"keys.signing is the file {settings.keys.signing.file}: replace it; running gateways follow, and trust "
            "its predecessor until they are restarted"
        )
    if now:
        made: SealedKey | None = _with_ring(settings, lambda ring: ring.begin_anew())
    else:
        made = _with_ring(settings, lambda ring: ring.rotate())
    if made is None:
        click.echo("hopgate keys: a new key waits for its time already; see hopgate keys list", err=True)
        raise SystemExit(1)
    click.echo(f"{made.kid} signs from {_written(made.signs_from)}")


def _settings(path: Path) -> Settings:
    loaded = load(path, os.environ)
    if isinstance(loaded, Problems):
        raise KeysError(str(loaded))
    return loaded.settings


def _signer_of_file(settings: Settings) -> Signer:
    signing = settings.keys.signing
    if not Path(str(signing.file)).is_file():
        raise KeysError(f"there is no file {signing.file} yet; the gateway makes it when it starts")
    try:
        return signer_of(settings, os.environ)
    except PartError as error:
        raise KeysError(str(error)) from None


def _with_ring(settings: Settings, ask: Callable[[KeyRing], Awaitable[T]]) -> T:
    async def run() -> T:
        engine = await open_state(settings.store.url)
        try:
            return await ask(key_ring(settings, os.environ, engine))
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except StoreError as error:
        raise KeysError(error.detail) from None
    except PartError as error:
        raise KeysError(str(error)) from None


def _standings(found: tuple[SealedKey, ...], now: int) -> list[Standing]:
    signing = key_schedule.current(found, now)
    published = key_schedule.published(found, now)

    def state(key: SealedKey) -> str:
        if key.distrusted_at:
            return "distrusted"
        if signing is not None and key.number == signing.number:
            return "signs"
        return "waits" if key.signs_from > now else "published" if key in published else "over"

    return [Standing(key.kid, key.algorithm, state(key), _written(key.signs_from)) for key in found]


def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
