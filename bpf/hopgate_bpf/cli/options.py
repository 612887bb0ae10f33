"""What the commands share: where settings are, how a refusal is told, and the loader that settings name."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from hopgate_bpf.node.loader import LoaderProgram
from hopgate_bpf.node.settings import DEFAULT_FILE, Settings
from hopgate_bpf.rules.refusal import Reason, RefusedError

F = TypeVar("F", bound=Callable[..., Any])
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\U0010ffff]")


def config_file() -> Callable[[F], F]:
    """``--config FILE``, also from ``HOPGATE_BPF_CONFIG``, as the parameter ``config``."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="HOPGATE_BPF_CONFIG",
        default=DEFAULT_FILE,
        show_default=True,
        help="The settings file.",
    )


def form() -> Callable[[F], F]:
    """``--format table|json`` as the parameter ``form``."""
    kinds = click.Choice(["table", "json"])
    return click.option("--format", "form", type=kinds, default="table", help="Output form.")


def loader_of(settings: Settings) -> LoaderProgram:
    """The C loader that the settings name."""
    chosen = settings.loader
    return LoaderProgram(Path(chosen.program), Path(chosen.pins), Path(settings.cgroups.root), chosen.seconds)


def printable(text: str) -> str:
    """``text`` on a terminal: no control characters."""
    return _UNPRINTABLE.sub("�", text)


@contextmanager
def told(command: str, status: int = 1) -> Iterator[None]:
    """Refusals of the block as lower-case lines on standard error, with the next step; exit ``status``.

    Wrong settings exit with 2, whatever the command.
    """
    try:
        yield
    except RefusedError as refused:
        meaning = refused.reason.meaning
        click.echo(f"hopgate-bpf {command}: {printable(str(refused))}", err=True)
        if refused.reason is not Reason.CONFIG_INVALID:
            text = meaning.text[0].lower() + meaning.text[1:]
            click.echo(f"hopgate-bpf {command}: {refused.reason}: {text} {meaning.next_step}", err=True)
        wrong = refused.reason is Reason.CONFIG_INVALID
        raise SystemExit(2 if wrong and status == 1 else status) from None
