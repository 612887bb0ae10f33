"""``hopgate policy check`` and ``hopgate policy schema``."""

from pathlib import Path

import click

from gateway.cli.options import config_file
from gateway.cli.policy.bundles import INVALID, Format, compiled, folder_argument, form_option, loaded, refuse, show
from gateway.core.policy.argtypes import arguments_of, schema_with
from gateway.publish import Published, cedar_schema

_config = config_file("config", required=True)


@click.command()
@_config
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@form_option
@folder_argument()
def check(config: Path, strict: bool, form: Format, folder: Path | None) -> None:
    """Check the policies of FOLDER, or of the settings, against the registry: every problem with its file and line."""
    found = compiled(loaded(config), folder)
    problems = found.warnings if isinstance(found, Published) else found
    failed = bool(problems) if strict else any(problem.severity == "error" for problem in problems)
    if form == "json":
        show(problems)
        raise SystemExit(INVALID if failed else 0)
    if failed:
        refuse(problems)
    for problem in problems:
        click.echo(str(problem), err=True)


@click.command()
@config_file("config")
@click.option("--admin", is_flag=True, help="The schema of policies in admin/.")
def schema(config: Path | None, admin: bool) -> None:
    """Print the Cedar schema that policies are validated against; with --config also types of the tools' arguments."""
    if admin:
        click.echo(cedar_schema("admin"), nl=False)
        return
    arguments = {} if config is None else arguments_of(loaded(config).registry)
    click.echo(schema_with(cedar_schema(), arguments), nl=False)
