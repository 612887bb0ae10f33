"""``hopgate tools list|diff|approve``: definitions of tools that were approved, and those that wait for it.

Works beside a running gateway, on its store. Exit status: 0 done or no difference, 1 a difference or not
approved, 2 could not look.
"""

import asyncio
import difflib
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from gateway.cli import render
from gateway.cli.options import config_file
from gateway.config.load import Loaded, load
from gateway.config.problems import Problems
from gateway.core.errors import StoreError
from gateway.core.pins import UNSEEN, Definition, Pin, approved_digest, quarantined, schema_of, typed_by
from gateway.core.policy.reapproval import contradictions
from gateway.core.registry import Registry, Tool
from gateway.publish import Published, compile_kept
from gateway.store.approved_tools import approved_tools
from gateway.store.state import open_state
from gateway.store.tool_pins import SqlToolPins

T = TypeVar("T")


class ToolsError(click.ClickException):
    """The definitions can't be read, or the question isn't one."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """One lower-case line on standard error."""
        click.echo(f"hopgate tools: {render.printable(self.message)}", file=file, err=True)


class Standing(msgspec.Struct, frozen=True):
    """One line of ``list``."""

    tool: str
    state: str
    """``approved``, ``quarantined`` or ``unseen``."""
    approved: str | None
    found: str | None
    pinned_by: str | None


_config = config_file(required=True)


@click.group()
def tools() -> None:
    """Show what servers say of their tools, and approve what changed."""


@tools.command("list")
@_config
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Output form.")
def list_(path: Path, form: str) -> None:
    """List registered tools with the digests of their definitions."""
    loaded = _loaded(path)
    found = [_standing(tool, pin, loaded) for tool, pin in _with_store(loaded, lambda pins: _all(loaded, pins))]
    if form == "json":
        click.echo(msgspec.json.encode(found))
        return
    for each in found:
        waiting = f"  waiting {each.found}" if each.found else ""
        click.echo(f"{each.tool:<40} {each.state:<12} {each.approved or '-'}{waiting}")


@tools.command()
@_config
@click.argument("name", metavar="SERVER/TOOL")
def diff(path: Path, name: str) -> None:
    """Show how the definition that waits differs from the approved one."""
    loaded = _loaded(path)
    tool, pin = _one(loaded, name)
    if pin.found is None or pin.found.digest == approved_digest(tool, pin):
        return
    click.echo("".join(_unified(name, pin.approved, pin.found)), nl=False)
    click.echo(f"approve it with: hopgate tools approve {name} {pin.found.digest}", err=True)
    raise SystemExit(1)


@tools.command()
@_config
@click.argument("name", metavar="SERVER/TOOL")
@click.argument("digest")
def approve(path: Path, name: str, digest: str) -> None:
    """Approve the definition that DIGEST names: the one that waits, or again the approved one, which drops the other.

    The digest is asked for so that nothing is approved but what was looked at. A definition that policies which read
    the tool's arguments would not load with, or that gives what they read no type or not the registry's, is refused,
    and they are listed.
    """
    loaded = _loaded(path)
    tool, pin = _one(loaded, name)
    chosen = next((each for each in (pin.found, pin.approved) if each is not None and each.digest == digest), None)
    if chosen is None:
        raise ToolsError(f"{name} has no definition with this digest; see hopgate tools list")
    if tool.pin is not None and tool.pin != digest:
        raise ToolsError(f"{name} is pinned by the registry; change its pin there to {digest}")
    broken = [] if pin.approved is not None and pin.approved.digest == digest else _broken_by(loaded, tool, chosen)
    if broken:
        raise ToolsError("\n".join((f"{name} is not approved: policies would not load with its arguments", *broken)))
    _with_store(loaded, lambda pins: pins.approve(tool.server, tool.name, chosen))


def _broken_by(loaded: Loaded, tool: Tool, chosen: Definition) -> list[str]:
    """What would be wrong with the policies in force if the definition gave the types of arguments, and isn't now."""
    approved = _told(lambda: approved_tools(loaded.settings.store.path))
    typed = typed_by(loaded.registry, approved)
    now = typed.servers[tool.server].tools[tool.name]
    proposed = msgspec.structs.replace(now, input_schema=None, approved_schema=schema_of(chosen))
    before, after = (_compiled(loaded, _with_tool(typed, each)) for each in (now, proposed))
    known = _errors(before)
    broken = [problem for problem in _errors(after) if problem not in known]
    if isinstance(before, Published):
        broken += contradictions(before.snapshot.bundle, now, proposed)
    if broken and now.input_schema is not None:
        broken.append("the registry's input_schema says what policies read; correct it there first, and the policies")
    return broken


def _with_tool(registry: Registry, tool: Tool) -> Registry:
    server = registry.servers[tool.server]
    changed = msgspec.structs.replace(server, tools={**server.tools, tool.name: tool})
    return msgspec.structs.replace(registry, servers={**registry.servers, tool.server: changed})


def _compiled(loaded: Loaded, registry: Registry) -> Published | Problems:
    return compile_kept(msgspec.structs.replace(loaded, registry=registry, warnings=()), 0, None)


def _errors(found: Published | Problems) -> list[str]:
    return [str(problem) for problem in found.errors] if isinstance(found, Problems) else []


def _loaded(path: Path) -> Loaded:
    loaded = load(path, os.environ)
    if isinstance(loaded, Problems):
        raise ToolsError(str(loaded))
    return loaded


def _with_store(loaded: Loaded, ask: Callable[[SqlToolPins], Awaitable[T]]) -> T:
    async def run() -> T:
        engine = await open_state(loaded.settings.store.url)
        try:
            return await ask(SqlToolPins(engine))
        finally:
            await engine.dispose()

    return _told(lambda: asyncio.run(run()))


def _told(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except StoreError as error:
        raise ToolsError(error.detail) from None


async def _all(loaded: Loaded, pins: SqlToolPins) -> list[tuple[Tool, Pin]]:
    found: list[tuple[Tool, Pin]] = []
    for server in loaded.registry.servers.values():
        known: Mapping[str, Pin] = await pins.of(server.name)
        found += [(tool, known.get(tool.name, UNSEEN)) for tool in server.tools.values()]
    return found


def _one(loaded: Loaded, name: str) -> tuple[Tool, Pin]:
    for tool, pin in _with_store(loaded, lambda pins: _all(loaded, pins)):
        if f"{tool.server}/{tool.name}" == name:
            return tool, pin
    raise ToolsError(f"{name} is not registered; write SERVER/TOOL")


def _standing(tool: Tool, pin: Pin, loaded: Loaded) -> Standing:
    approved, first_use = approved_digest(tool, pin), loaded.settings.tools.pins == "first-use"
    state = "quarantined" if quarantined(tool, pin, first_use=first_use) else "approved" if approved else "unseen"
    found = None if pin.found is None or pin.found.digest == approved else pin.found.digest
    pinned_by = "registry" if tool.pin else "store" if pin.approved else None
    return Standing(f"{tool.server}/{tool.name}", state, approved, found, pinned_by)


def _unified(name: str, approved: Definition | None, found: Definition) -> Iterator[str]:
    before = "not seen" if approved is None else approved.digest
    return difflib.unified_diff(_lines(approved), _lines(found), f"{name} approved {before}", f"{name} {found.digest}")


def _lines(definition: Definition | None) -> list[str]:
    if definition is None:
        return []
    # ASCII only: a server's text must not steer the terminal of who reviews it, or look like other text.
    text = json.dumps(json.loads(definition.document), indent=2, sort_keys=True, ensure_ascii=True)
    return [f"{line}\n" for line in text.replace("\x7f", "\\u007f").split("\n")]
