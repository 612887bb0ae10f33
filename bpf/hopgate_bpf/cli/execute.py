"""``hopgate-bpf exec``: start an agent under its class's rules, or not at all.

Exit status: the agent's own, or 128 and the number of the signal that ended it; 125 if it wasn't started.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from hopgate_bpf.cli.options import config_file, loader_of, told
from hopgate_bpf.launch.privileges import account_of
from hopgate_bpf.launch.readiness import Ready, ready
from hopgate_bpf.launch.scope import scoped
from hopgate_bpf.launch.seccomp import compiled
from hopgate_bpf.launch.start import Agent, program_of, run
from hopgate_bpf.node import cgroups
from hopgate_bpf.node.loader import Loader
from hopgate_bpf.node.settings import Settings, read_settings
from hopgate_bpf.rules.refusal import Reason, RefusedError

NOT_STARTED = 125


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("--class", "class_name", required=True, help="The agent's class.")
@config_file()
@click.option("--user", help="Whom to run as, by name or number; without, as who starts it.")
@click.option("--scope", is_flag=True, help="In a systemd scope of its own.")
@click.option("--here", is_flag=True, help="Make its cgroup inside this process's own: for delegated units.")
@click.option("--partly", is_flag=True, help="Start it also where this kernel can't enforce all rules.")
@click.option("--keep-capabilities", is_flag=True, help="Leave it those that could undo its rules.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(
    class_name: str,
    config: Path,
    user: str | None,
    scope: bool,
    here: bool,
    partly: bool,
    keep_capabilities: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND as an agent of a class.

    It is refused unless the rules accepted last are signed by a pinned key and the kernel has them in force.
    """
    with told("exec", NOT_STARTED):
        settings = read_settings(config)
        found = asyncio.run(ready(settings, loader_of(settings), class_name, partly=partly))
        if scope:
            _again_in_scope(class_name)
        agent = _agent(found, command, user, keeps=keep_capabilities)
        parent = cgroups.own(Path(settings.cgroups.root)) if here else Path(settings.cgroups.parent)
        raise SystemExit(_run(settings, agent, class_name, parent))


def _again_in_scope(class_name: str) -> None:
    """This command in place of itself, in a scope; never returns."""
    line = scoped(class_name, _inside(sys.argv))
    program = program_of(line[0], os.environ.get("PATH"))
    try:
        os.execv(program, line)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise RefusedError(Reason.PROGRAM_UNKNOWN, f"{program}: {error.strerror}") from None


def _inside(line: Sequence[str]) -> list[str]:
    """The command line with ``--here`` in place of the first ``--scope``; the agent's own words come later."""
    at = line.index("--scope")
    return [*line[:at], "--here", *line[at + 1 :]]


def _agent(found: Ready, command: tuple[str, ...], user: str | None, *, keeps: bool) -> Agent:
    account = None if user is None else account_of(user)
    calls = found.rules.system_calls
    environment = {**os.environ, **(account.environment if account else {})}
    return Agent(
        program_of(command[0], os.environ.get("PATH")),
        command,
        environment,
        account,
        None if calls is None else compiled(calls.allowed),
        keeps,
    )


def _run(settings: Settings, agent: Agent, class_name: str, parent: Path) -> int:
    loader: Loader = loader_of(settings)
    cgroup = cgroups.made(parent, class_name.replace("/", "-").replace(":", "-"))
    try:
        asyncio.run(loader.join(class_name, cgroup))
        return run(agent, cgroup)
    finally:
        # What the agent left running stays in it, and under its rules.
        if not cgroups.is_populated(cgroup):
            with suppress(RefusedError):
                asyncio.run(loader.leave(cgroup))
            cgroups.removed(cgroup)
