"""``hopgate-bpf run``: the loader process, in the foreground. Exit status: 0 stopped, 1 it can't start, 2 settings."""

import asyncio
from pathlib import Path

import click

from hopgate_bpf.api.daemon import serve
from hopgate_bpf.cli.options import config_file, loader_of, printable, told
from hopgate_bpf.node.resolver import DnsResolver
from hopgate_bpf.node.settings import Settings, read_settings


@click.command()
@config_file()
def run(config: Path) -> None:
    """Load the programs, put the rules accepted last in force, and take new ones.

    Ending it ends nothing that the kernel enforces.
    """
    with told("run"):
        asyncio.run(_serve(read_settings(config)))


async def _serve(settings: Settings) -> None:
    names = settings.names
    resolver = DnsResolver(names.servers, names.lookup_seconds)
    await serve(settings, loader_of(settings), resolver, lambda text: click.echo(printable(text), err=True))
