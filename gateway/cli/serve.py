"""``hopgate serve`` and ``hopgate check``. Exit status: 0 done, 1 the configuration can't be used, 2 usage."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import click
import msgspec
import uvloop

from gateway import app
from gateway.cli.options import config_file
from gateway.config.problems import Problem, Problems
from gateway.publish import Published, publish

Format = Literal["text", "json"]

_config = config_file(required=True)


@click.command()
@_config
def serve(path: Path) -> None:
    """Run the gateway until SIGTERM or SIGINT; open streams may then finish within a limit.

    Changed files are taken over as they come, or at once on SIGHUP; what can't be used is refused as a whole.
    """
    try:
        published = app.prepare(path, os.environ)
        if isinstance(published, Problems):
            _report(published.items)
            sys.exit(1)
        _report(published.warnings)
        uvloop.run(_run(path, published))
    except app.PartError as error:
        click.echo(f"hopgate serve: {error}", err=True)
        sys.exit(1)


@click.command()
@_config
@click.option("--format", "form", type=click.Choice(get_args(Format)), default="text", help="Output form.")
def check(path: Path, form: Format) -> None:
    """Check settings, registry, policies, keys and certificates; print every problem with its file and line."""
    published = publish(path, os.environ, 0, None)
    if isinstance(published, Problems):
        found: tuple[Problem, ...] = published.items
    else:
        found = (*published.warnings, *app.check(published, path, os.environ, time.time()))
    if form == "json":
        click.echo(msgspec.json.encode(found))
    else:
        _report(found)
    sys.exit(1 if any(problem.severity == "error" for problem in found) else 0)


async def _run(path: Path, published: Published) -> None:
    control, loop = app.Control(asyncio.Event(), asyncio.Event()), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, control.reload.set)
    await app.serve(path, published, os.environ, control, _announce(published, control))


def _announce(published: Published, control: app.Control) -> Callable[[app.Ports], None]:
    settings, loop = published.loaded.settings, asyncio.get_running_loop()

    def announce(ports: app.Ports) -> None:
        # Not before: a start that waits for its SVID has nothing to finish, and ends as any process does.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, control.stop.set)
        click.echo(f"data    {settings.public_url} (port {ports.data}, client certificate required)", err=True)
        click.echo(f"public  {settings.issuer} (port {ports.public})", err=True)
        click.echo(f"health  http://{settings.listen.health.host}:{ports.health}/readyz", err=True)
        # What was built to start stays: the collector need not walk it again under load.
        gc.collect()
        gc.freeze()

    return announce


def _report(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        click.echo(str(problem), err=True)
