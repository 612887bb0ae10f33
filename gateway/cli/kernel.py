"""``hopgate kernel key``: what kernel loaders on agents' machines pin, to take rules of this gateway only.

Exit status: 0 done, 2 could not look.
"""

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.app.kernel.key import kernel_signer
from gateway.app.parts import PartError
from gateway.cli import render
from gateway.cli.options import config_file
from gateway.config.load import load
from gateway.config.problems import Problems


class KernelKeyError(click.ClickException):
    """The settings or the key can't be used."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """One lower-case line on standard error."""
        click.echo(f"hopgate kernel: {render.printable(self.message)}", file=file, err=True)


@click.group()
def kernel() -> None:
    """The kernels of agents' machines, which enforce what policies say of files and connections."""


@kernel.command()
@config_file(required=True)
def key(path: Path) -> None:
    """Print the JWK set that loaders pin; its key is made beside the store if there is none."""
    loaded = load(path, os.environ)
    if isinstance(loaded, Problems):
        raise KernelKeyError(str(loaded))
    try:
        signer = kernel_signer(loaded.settings, os.environ)
    except PartError as error:
        raise KernelKeyError(str(error)) from None
    click.echo(msgspec.json.format(msgspec.json.encode(signer.jwks()), indent=2))
