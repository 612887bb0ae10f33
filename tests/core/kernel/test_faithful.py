"""What the kernel permits, Cedar permits to every agent of the class; where a report says complete, both are equal."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.kernel.actions import RESOURCE_OF
from gateway.core.kernel.rules import KernelRules, document, written
from gateway.core.registry import Agent, Destination, Registry
from tests.core.kernel.machines import Cedar, agent, compiled, kernel_allows, policies, registry

DOCUMENT = document()
FILES = ("readFile", "writeFile", "execFile", "loadLibrary", "spawnProcess")
PATHS = ("/", "/a", "/a/b", "/a/bc", "/a/é", "/ab", "/b/a", "/a*b", "a", "", "/a\nb", "/a/b/", "/é")
PATTERNS = ("*", "/*", "/a*", "/a/*", "*b", "/*/b", "/a*b", r"/a\*b", r"/a\**", "*é*", "**a**", "/a/é*", "*a*b*", "")
NAMES = ("gw.test", "llm.test", "other.test", "GW.test")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.1.0.1", "192.0.2.7", "2001:db8::1", "fd00::2")
ODD = ("10.0.0.0/24", "no host", "")
PORTS = (0, 22, 443, 8443, 65535)
CALLS = ("read", "write", "ptrace", "bpf")
VARIABLES = (
    "true", "false", 'principal is Agent', 'principal in AgentClass::"a"', 'principal in AgentClass::"b"',
    'principal == Agent::"ann"', 'principal.risk_level == "low"', 'principal.owner in Group::"staff"',
    'principal in Team::"finance"', "principal.entry_point", 'principal.hasTag("t")', 'principal.getTag("t") == "x"',
    'action == Action::"readFile"', 'action in Action::"write"', 'principal.capabilities.contains("c")',
    "principal.risk * 9223372036854775807 > 0",
)  # fmt: skip
CONTEXT = ("context.flag", "context has flag", "context has user", 'context has user && context.user == User::"u"')
RESOURCES = {
    "FilePath": [
        *(f'resource.path == "{path}"' for path in PATHS if "\n" not in path),
        *(f'resource.path like "{pattern}"' for pattern in PATTERNS),
        'resource == FilePath::"/a/b"', 'resource != FilePath::"/a"', 'resource in FilePath::"/ab"',
        '["/a", "/a/b"].contains(resource.path)', 'resource.path == principal.purpose', "resource has path",
        "resource has host", 'resource in [FilePath::"/a", FilePath::"/b/a"]', '"/ab" == resource.path',
    ],
    "NetworkDestination": [
        *(f'resource.host == "{host}"' for host in (*NAMES, *ADDRESSES, *ODD)),
        *(f'resource.host != "{host}"' for host in (*NAMES[:2], *ADDRESSES[:2])),
        *(f"resource.port == {port}" for port in (*PORTS, -1, 70000)),
        'resource.protocol == "tcp"', 'resource.protocol != "udp"', 'resource.protocol == "sctp"',
        'resource in DestinationSet::"s"', 'resource in DestinationSet::"t"', 'resource in DestinationSet::"none"',
        'resource in [DestinationSet::"s", DestinationSet::"t"]', "resource.port < 1024", 'resource.host like "*.test"',
        "resource.port * 9223372036854775807 > 0", 'resource == NetworkDestination::"gw.test"',
        'ip(resource.host).isInRange(ip("10.0.0.0/8"))', "[22, 443].contains(resource.port)",
    ],
    "SystemCall": [
        *(f'resource.name == "{call}"' for call in (*CALLS, "frob")), 'resource == SystemCall::"bpf"',
        'resource.name like "p*"', '["read", "write"].contains(resource.name)',
    ],
}  # fmt: skip
RESOURCES["Executable"] = [text.replace("FilePath::", "Executable::") for text in RESOURCES["FilePath"]]
RESOURCES["Library"] = [text.replace("FilePath::", "Library::") for text in RESOURCES["FilePath"]]


def expressions(kind: str) -> st.SearchStrategy[str]:
    """Conditions over one type of resource: what compiles, what doesn't, and what fails."""
    about = st.sampled_from(RESOURCES[kind])
    leaves = st.one_of(about, about, about, st.sampled_from(VARIABLES), st.sampled_from(CONTEXT))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
            inner.map(lambda text: f"!({text})"),
            st.tuples(inner, inner, inner).map(lambda t: f"if ({t[0]}) then ({t[1]}) else ({t[2]})"),
        ),
        max_leaves=5,
    )


@st.composite
def policy(draw: st.DrawFn, kind: str) -> str:
    about = [action for action, resource in RESOURCE_OF.items() if resource == kind]
    actions = [
        *(f'action == Action::"{action}"' for action in about),
        "action in [" + ", ".join(f'Action::"{action}"' for action in about) + "]",
        'action in Action::"kernel"', 'action in Action::"read"', "action",
    ]  # fmt: skip
    principals = ["principal", "principal is Agent", 'principal in AgentClass::"a"', 'principal in AgentClass::"a"',
                  'principal in AgentClass::"a"', 'principal == Agent::"ann"',
                  'principal is Agent in AgentClass::"b"', 'principal in Group::"g"']  # fmt: skip
    principal, action = draw(st.sampled_from(principals)), draw(st.sampled_from(actions))
    effect = draw(st.sampled_from(["permit", "permit", "forbid"]))
    clauses = draw(st.lists(st.tuples(st.sampled_from(["when", "when", "unless"]), expressions(kind)), max_size=2))
    said = "\n".join(f"{word} {{ {text} }}" for word, text in clauses)
    return f"{effect} ({principal}, {action}, resource is {kind}) {said};"


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    def one(name: str) -> Agent:
        return agent(
            name,
            *sorted(draw(st.sampled_from([{"a"}, {"a"}, {"a", "b"}, {"b"}, set()]))),
            risk_level=draw(st.sampled_from(["low", "high"])),
            entry_point=draw(st.booleans()),
            groups=draw(st.sampled_from([(), ("g",)])),
            tags=draw(st.sampled_from([{}, {"t": "x"}, {"t": "y"}])),
            capabilities=draw(st.sampled_from([(), ("c",)])),
        )

    destinations = draw(
        st.lists(
            st.builds(
                Destination,
                name=st.just(""),
                host=st.sampled_from([*NAMES[:3], *ADDRESSES, "10.0.0.0/8", "10.0.0.0/31", "fd00::/16", "0.0.0.0/0"]),
                port=st.sampled_from([None, 443, 22]),
                protocol=st.sampled_from([None, "tcp", "udp"]),
                sets=st.sampled_from([("s",), ("t",), ("s", "t")]),
            ),
            max_size=3,
        )
    )
    named = [Destination(name=f"d{n}", host=d.host, port=d.port, protocol=d.protocol, sets=d.sets)
             for n, d in enumerate(destinations)]  # fmt: skip
    return registry([one("ann"), one("ben"), one("cat")], named)


def requests(action: str) -> list[Mapping[str, Any]]:
    if action in FILES:
        return [{"path": path} for path in (*PATHS, "/a/b/c", "/abc", "/*", "b")]
    if action == "systemCall":
        return [{"name": name} for name in CALLS]
    hosts = ("gw.test", "llm.test", "other.test", "unnamed.test", *ADDRESSES)
    return [{"host": host, "port": port, "protocol": "tcp" if (port + len(host)) % 2 else "udp"}
            for host in hosts for port in (*PORTS, 80)]  # fmt: skip


@pytest.mark.parametrize("kinds", [("Executable", "FilePath", "Library"), ("NetworkDestination",), ("SystemCall",)])
@given(data=st.data(), known=registries(), context=st.sampled_from([{}, {"flag": True}, {"flag": False}]))
def test_the_kernel_never_allows_what_cedar_denies(
    kinds: tuple[str, ...], data: st.DataObject, known: Registry, context: Mapping[str, bool]
) -> None:
    kind = data.draw(st.sampled_from(kinds))
    found = policies("\n".join(data.draw(st.lists(policy(kind), min_size=1, max_size=4))))
    done = compiled(found, known)
    cedar = Cedar(found, known)
    action = data.draw(st.sampled_from([each for each, resource in RESOURCE_OF.items() if resource == kind]))
    asked = data.draw(st.lists(st.sampled_from(requests(action)), min_size=4, max_size=4))
    for report, rules in zip(done.report.classes, done.rules.classes, strict=True):
        for resource in asked:
            kernel = kernel_allows(rules, action, resource)
            if kernel is None:
                continue
            allowed = [cedar.allows(name, action, resource, context) for name in report.agents]
            assert not kernel or all(allowed), (rules.name, action, resource)
            assert action not in report.complete or allowed == [kernel] * len(allowed), (rules.name, action, resource)


@given(st.lists(st.sampled_from(sorted(RESOURCES)).flatmap(policy), max_size=4), registries())
def test_equal_policies_are_equal_bytes(texts: list[str], known: Registry) -> None:
    found = policies("\n".join(texts))
    turned = msgspec.structs.replace(
        known,
        agents=dict(reversed(known.agents.items())),
        destinations=dict(reversed(known.destinations.items())),
    )
    assert written(compiled(found, known).rules) == written(compiled(found[::-1], turned).rules)
    document = json.loads(written(compiled(found, known).rules))
    jsonschema.validate(document, DOCUMENT)
    assert msgspec.convert(document, KernelRules) == compiled(found, known).rules
