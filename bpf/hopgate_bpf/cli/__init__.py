"""``hopgate-bpf run|status|check|exec``."""

import click

from hopgate_bpf import __version__
from hopgate_bpf.cli.check import check
from hopgate_bpf.cli.execute import exec_
from hopgate_bpf.cli.run import run
from hopgate_bpf.cli.status import status


@click.group()
@click.version_option(__version__, prog_name="hopgate-bpf", message="%(prog)s %(version)s")
def main() -> None:
    """Have the kernel enforce Hopgate's rules on this node, and start agents under them."""


for command in (run, status, check, exec_):
    main.add_command(command)
