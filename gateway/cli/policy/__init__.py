"""``hopgate policy``: write, check, test, publish, explain, replay, review, recommend, compile. Only joins them.

Exit status, as Cedar's own command line has it: 0 good or permitted, 1 it could not be done or a test failed, 2 denied,
3 policies that don't validate; ``staged``, ``replay``, ``review`` and ``recommend``: 2 the records could not be read.
"""

from typing import Any

import click

from gateway.cli.policy.check import check, schema
from gateway.cli.policy.compile import compile_
from gateway.cli.policy.diff import diff
from gateway.cli.policy.explain import explain
from gateway.cli.policy.new import new
from gateway.cli.policy.publish import publish, rollback
from gateway.cli.policy.recommend import recommend_command as recommend
from gateway.cli.policy.replay import replay
from gateway.cli.policy.review import review
from gateway.cli.policy.staged import staged
from gateway.cli.policy.test import test
from gateway.cli.policy.versions import versions


class _Policy(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; wrong usage ends with 1, since 2 says that something is denied."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.show()
            ctx.exit(1)


@click.group(cls=_Policy)
def policy() -> None:
    """Write, check, test, publish, explain, stage, replay, review, recommend and compile Cedar policies."""


for _command in (
    check,
    test,
    explain,
    diff,
    new,
    schema,
    staged,
    replay,
    review,
    recommend,
    versions,
    publish,
    rollback,
    compile_,
):
    policy.add_command(_command)
