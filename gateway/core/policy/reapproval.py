"""Whether policies keep their say of a tool's arguments if another definition of the tool is approved.

Compares types, as far as policies read them. Whether the policies would still load is the compiler's to say.
"""

from collections.abc import Iterator, Mapping, Sequence

from gateway.core.policy.argtypes import ArgType, Arguments, Record, described, kept, tool_record
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.rule import Rule
from gateway.core.policy.syntax import Path
from gateway.core.registry import Tool


def contradictions(bundle: Bundle, tool: Tool, proposed: Tool) -> tuple[str, ...]:
    """What policies read of the arguments of ``tool`` and couldn't, or not as it is sent, of ``proposed``.

    One line for each argument, with the policies that read it: enforced ones, and staged ones. A type that only
    differs counts where the registry holds the tool's schema: calls are typed by that, and the server means another.
    """
    now: Arguments = {tool.server: {tool.name: tool_record(tool)}}
    then = tool_record(proposed)
    found: dict[str, list[str]] = {}
    for name, rule in sorted(_rules(bundle).items()):
        for said in _lost(now, rule, tool, then):
            found.setdefault(said, []).append(name)
    return tuple(f"{said}: read by {_names(readers)}" for said, readers in sorted(found.items()))


def _rules(bundle: Bundle) -> Mapping[str, Rule]:
    staged = {name: rule for trial in bundle.trials for name, rule in trial.bundle.rules.items()}
    return {**staged, **bundle.rules}


def _lost(now: Arguments, rule: Rule, tool: Tool, then: Record) -> Iterator[str]:
    read = kept(now, rule.footprint.arguments).get(tool.server, {}).get(tool.name)
    for path, kind in () if read is None else _leaves(read):
        other = _at(then, path)
        argument = ".".join(path)
        if other is None:
            yield f"argument `{argument}` is {_kind(kind)} now, and would have no type"
        elif tool.input_schema is not None and _kind(other) != _kind(kind):
            yield f"argument `{argument}` is {_kind(kind)} by the registry, and {_kind(other)} by the definition"


def _leaves(kind: ArgType, path: Path = ()) -> Iterator[tuple[Path, ArgType]]:
    """Every member that is read, the deepest ones for records; a record without typed members stands for itself."""
    if not isinstance(kind, Record) or (path and not kind.fields):
        yield path, kind
        return
    for name, field in kind.fields.items():
        yield from _leaves(field.type, (*path, name))


def _at(record: Record, path: Path) -> ArgType | None:
    found: ArgType | None = record
    for name in path:
        field = found.fields.get(name) if isinstance(found, Record) else None
        found = None if field is None else field.type
    return found


def _kind(kind: ArgType) -> str:
    return "a record" if isinstance(kind, Record) else described(kind)


def _names(readers: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in readers)
