"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def config_file(name: str = "path", **more: Any) -> Callable[[F], F]:
    """``--config FILE``, also from ``HOPGATE_CONFIG``, as the parameter ``name``."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option(
        "--config", name, type=kind, envvar="HOPGATE_CONFIG", help="The gateway's settings file.", **more
    )
