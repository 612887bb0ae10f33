"""``hopgate policy new``: a policy to begin with, and its tests, checked before they are written."""

import re
from pathlib import Path
from typing import Any, cast, get_args

import click
import msgspec
from cedarpy import Schema

from gateway.cli.options import config_file
from gateway.cli.policy.bundles import PolicyCommandError, compiled_or_exit, loaded, refuse, say
from gateway.config.load import Loaded
from gateway.config.policy_tests import SUFFIX
from gateway.config.problems import suggest
from gateway.core.model import Effect, Tier
from gateway.core.policy.argtypes import arguments_of, schema_with
from gateway.core.policy.draft import Draft, Wish, draft
from gateway.core.policy.expectations import check, read_expectations, trees_of
from gateway.core.policy.source import Problem
from gateway.core.registry import Tool
from gateway.publish import Published, cedar_schema, compile_loaded

_TIERS = tuple(tier for tier in get_args(Tier) if tier != "teams")
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@click.command()
@config_file("config", required=True)
@click.option("--team", help="Agents of this team; the policy goes to its folder.")
@click.option("--tier", type=click.Choice(_TIERS), help="Another folder than the team's.")
@click.option("--tool", required=True, metavar="SERVER/TOOL", help="What they call.")
@click.option("--id", "policy_id", help="The policy's @id; by default from team and tool.")
@click.option("--owner", help="Accountable person; by default the first of the team.")
@click.option("--effect", type=click.Choice(["permit", "forbid"]), default="permit", show_default=True)
def new(config: Path, tool: str, **given: Any) -> None:
    """Write a commented policy for a registered tool, and tests beside it, if the whole bundle then loads."""
    base = loaded(config)
    wish = _wish(base, tool, given)
    made = draft(wish, base.registry)
    _validate(base, made)
    folder = Path(base.settings.policies)
    policy = folder / made.source.path
    _write({policy: made.source.text, policy.with_name(policy.stem + SUFFIX): made.tests})


def _wish(base: Loaded, tool: str, given: dict[str, Any]) -> Wish:
    registry = base.registry
    found = _tool(base, tool)
    team = given["team"] or registry.servers[found.server].team
    if team not in registry.teams:
        raise PolicyCommandError(f"no team is registered as {team}; {suggest(team, registry.teams)}")
    own = sorted(person.id for person in registry.people.values() if person.team == team)
    owner = given["owner"] or next(iter(own or sorted(registry.people)), "")
    name = given["policy_id"] or re.sub(r"[^A-Za-z0-9_.-]", "-", f"{team}-{found.server}-{found.name}")
    if not _ID.fullmatch(name):
        raise PolicyCommandError(f"{name!r} is no name for a policy; use letters, digits and _.:-")
    effect = cast(Effect, given["effect"])
    return Wish(id=name, folder=given["tier"] or f"teams/{team}", effect=effect, owner=owner, team=team, tool=found)


def _tool(base: Loaded, name: str) -> Tool:
    server, _, rest = name.partition("/")
    found = base.registry.tool(server, rest)
    if found is None:
        known = [f"{each.name}/{tool}" for each in base.registry.servers.values() for tool in each.tools]
        raise PolicyCommandError(f"no tool is registered as {name}; {suggest(name, known)}")
    return found


def _validate(base: Loaded, made: Draft) -> None:
    """End with every problem, unless the bundle loads with the new policy and its tests pass."""
    compiled_or_exit(base, None)
    taken = [source.path for source in base.policies if source.path == made.source.path]
    if taken:
        raise PolicyCommandError(f"{taken[0]} is there already; give another --id")
    found = compile_loaded(msgspec.structs.replace(base, policies=(*base.policies, made.source)), 0, None)
    if not isinstance(found, Published):
        refuse(found.errors)
    trees = trees_of([made.source])
    if isinstance(trees, Problem):
        raise PolicyCommandError(str(trees))
    schema = Schema.from_str(schema_with(cedar_schema(), arguments_of(base.registry)))
    for each in read_expectations(made.tests):
        entities = each.entities if isinstance(each.entities, list) else []
        failure = check(each, entities, trees, schema)
        if failure is not None:
            raise PolicyCommandError("; ".join(failure.differences))


def _write(files: dict[Path, str]) -> None:
    """Both files or none."""
    there = [path for path in files if path.exists()]
    if there:
        raise PolicyCommandError(f"{there[0]} is there already; give another --id")
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            for other in files:
                other.unlink(missing_ok=True)
            raise PolicyCommandError(f"{path} can't be written: {error.strerror}") from None
        say(str(path))
