"""The ``hopgate`` command. One file a group of commands; this one only joins them."""

import click

from gateway import __version__
from gateway.cli.approvals import approvals
from gateway.cli.audit import audit
from gateway.cli.kernel import kernel
from gateway.cli.keys import keys
from gateway.cli.policy import policy
from gateway.cli.revoke import revocations, revoke
from gateway.cli.serve import check, serve
from gateway.cli.tools import tools
from gateway.cli.upstream_tokens import upstream_tokens
from gateway.cli.webhooks import webhooks


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Authorize, record and forward the traffic of AI agents: MCP and A2A, hop by hop."""


main.add_command(serve)
main.add_command(check)
main.add_command(audit)
main.add_command(tools)
main.add_command(revoke)
main.add_command(approvals)
main.add_command(revocations)
main.add_command(keys)
main.add_command(kernel)
main.add_command(policy)
main.add_command(upstream_tokens)
main.add_command(webhooks)
