"""``hopgate-bpf status``: what the node enforces. Exit status: 0 all that was accepted, 1 not all, 2 could not look."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import click
import msgspec

from hopgate_bpf.cli.options import config_file, form, printable, told
from hopgate_bpf.node.settings import read_settings
from hopgate_bpf.rules.refusal import Reason, RefusedError

_SECONDS = 40.0


@click.command()
@config_file()
@form()
def status(config: Path, form: str) -> None:
    """Show what this node enforces, and what it doesn't."""
    with told("status", 2):
        said = asyncio.run(_asked(Path(read_settings(config).socket.path)))
    if form == "json":
        click.echo(msgspec.json.encode(said))
    else:
        for line in _lines(said):
            click.echo(printable(line))
    whole = said["agrees"] and not said["not_enforced"] and not said["problem"]
    raise SystemExit(0 if whole else 1)


async def _asked(socket: Path) -> Mapping[str, Any]:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=timeout) as session,
            session.get("http://hopgate-bpf/v1/status") as response,
        ):
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        cause = getattr(error, "strerror", None) or type(error).__name__
        raise RefusedError(Reason.LOADER_UNAVAILABLE, f"no loader answers at {socket}: {cause}") from None
    said: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    if response.status != 200:
        known = said.get("reason") in set(Reason)
        reason = Reason(said["reason"]) if known else Reason.INTERNAL_ERROR
        raise RefusedError(reason, str(said.get("detail", "")))
    return said


def _lines(said: Mapping[str, Any]) -> Iterator[str]:
    if said["generation"]:
        yield f"node {said['node']}: generation {said['generation']}, policies {said['digest']}"
    else:
        yield f"node {said['node']}: no rules yet, every class is denied everything"
    if not said["agrees"] and said["generation"]:
        yield f"the kernel has generation {said['in_kernel'].get('generation', 0) or 'none'}"
    if said["problem"]:
        yield f"problem: {said['problem']}"
    for text in said["not_enforced"]:
        yield f"not enforced: {text}"
    yield from map(_shadow, said["shadows"])
    for name, reasons in sorted(said["narrowed"].items()):
        for text in reasons:
            yield f"less than permitted: {name}: {text}"
    for host, name in said["names"].items():
        addresses = " ".join(name["addresses"]) or "-"
        grace = f", {name['in_grace']} in grace" if name["in_grace"] else ""
        failure = f", {name['failure']}" if name["failure"] else ""
        yield f"{host}: {name['state']}: {addresses} (next lookup in {name['seconds_to_lookup']} s{grace}{failure})"
    for name, cgroups in sorted(said["cgroups"].items()):
        for path in cgroups:
            absent = " (absent)" if path in said["cgroups_absent"] else ""
            yield f"{name}: {path}{absent}"


def _shadow(each: Mapping[str, Any]) -> str:
    held = "in quarantine" if each["quarantined"] else "at large"
    return f"shadow agent, {held}: {each['cgroup']}: {each['processes']} processes of {' '.join(each['programs'])}"
