"""What is probably not meant, told with its line."""

import pytest

from gateway.core.registry import Destination
from tests.core.kernel.machines import agent, compiled, registry

READ = 'principal in AgentClass::"a", action == Action::"readFile", resource is FilePath'
CONNECT = 'principal in AgentClass::"a", action == Action::"connectNetwork", resource is NetworkDestination'


def messages(text: str, known=None) -> list[str]:
    return [each.message for each in compiled(text, known).report.lints]


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        ('resource.path like "/workspace/analyst-*"', "siblings too: /workspace/analyst-evil, and"),
        ('resource.path like "/desk/*/out"', "has a `*` before its end"),
        ('resource.path like "/work*/out/*"', "siblings too: /workevil"),
        ('resource.path == "srv/x"', "doesn't begin with `/`"),
        ('resource.path like "*.csv"', "matches in every directory"),
        ('resource.path == "/srv/../etc/x"', "matches no path"),
        ('resource.path like "/srv//x/*"', "matches no path"),
        ('resource.path == "/srv/./x"', "matches no path"),
        ('resource.path == "/srv/"', "matches no path"),
        ('resource.path == "/var/run/secrets/key"', "the kernel sees /run/secrets/key"),
        ('resource.path like "/bin/*"', "the kernel sees /usr/bin/"),
        ('resource == FilePath::"/lib64/x"', "the kernel sees /usr/lib64/x"),
        ('resource.path like "/proc/self/*"', "/proc/<pid>"),
        ('["/srv/x", "srv"].contains(resource.path)', '"srv" doesn\'t begin'),
    ],
)  # fmt: skip
def test_paths(condition: str, part: str) -> None:
    found = messages(f"permit ({READ}) when {{ {condition} }};")
    assert any(part in message for message in found), found


@pytest.mark.parametrize(
    "condition",
    [
        'resource.path like "/srv/*"',
        'resource.path == "/srv/x"',
        'resource.path like "/*"',
        'resource.path == "/"',
        'resource.path == "/binary"',
        'resource.path like "/library/*"',
        r'resource.path == "/srv/a*b"',
    ],
)
def test_what_is_fine(condition: str) -> None:
    assert messages(f"permit ({READ}) when {{ {condition} }};") == []


def test_siblings_are_for_permits_to_mend() -> None:
    assert messages(f'forbid ({READ}) when {{ resource.path like "/etc/shadow*" }};') == []
    assert messages(f'forbid ({READ}) when {{ resource.path == "/bin/sh" }};') != []


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        ('resource.host == "gw.test"', '"gw.test" is a name'),
        ('resource.host == "GW.test"', 'write "gw.test"'),
        ('resource.host == "10.0.0.0/8"', "register a destination"),
        ('resource.host == "a b"', "neither a name nor an address"),
        ('resource.host == "010.0.0.1"', "neither a name nor an address"),
        ('resource in DestinationSet::"s"', '"llm.test" is a name'),
    ],
)
def test_hosts(condition: str, part: str) -> None:
    known = registry([agent("ann", "a")], [Destination(name="llm", host="llm.test", sets=("s",))])
    found = messages(f"permit ({CONNECT}) when {{ {condition} }};", known)
    assert any(part in message for message in found), found
    assert messages(f'permit ({CONNECT}) when {{ resource.host == "10.0.0.1" }};') == []


def test_system_calls() -> None:
    scope = 'principal in AgentClass::"a", action == Action::"systemCall", resource is SystemCall'
    (found,) = messages(f'permit ({scope}) when {{ resource.name == "opent" }};')
    assert 'did you mean "open' in found


def test_lints_have_a_line() -> None:
    text = f'@id("p")\npermit ({READ})\nwhen {{ true &&\n  resource.path like "/a-*"\n}};'
    (lint,) = compiled(text).report.lints
    assert str(lint).startswith("kernel/a.cedar:4: p: ")
