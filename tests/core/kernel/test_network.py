"""Network rules: hosts, ports and protocols, exceptions, and what permits and forbids can't say."""

import time

import pytest

from gateway.core.kernel.asked import may_bind, may_connect
from gateway.core.kernel.rules import MAX_PORTS
from gateway.core.registry import Destination
from tests.core.kernel.machines import agent, compiled, registry, rules

ANYWHERE = ("permit", None, None, None, False)
CONNECT = 'principal in AgentClass::"a", action == Action::"connectNetwork", resource is NetworkDestination'


def permit(condition: str, scope: str = CONNECT) -> str:
    return f"permit ({scope}) when {{ {condition} }};"


def forbid(condition: str) -> str:
    return f"forbid ({CONNECT}) when {{ {condition} }};"


def firm(*destinations: Destination):
    return registry([agent("ann", "a")], destinations)


def said(text: str, known=None) -> list[tuple[str, str | None, int | None, str | None, bool]]:
    return [
        (each.effect, each.host, each.port, each.protocol, each.inexact) for each in rules(text, known).network
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", [ANYWHERE]),
        ('resource.host == "gw.test"', [("permit", "gw.test", None, None, True)]),
        ('resource.host == "10.0.0.1" && resource.port == 443', [("permit", "10.0.0.1", 443, None, False)]),
        ('resource.protocol == "udp" && resource.port == 53', [("permit", None, 53, "udp", False)]),
        ("resource.port != 25", [("permit", None, None, None, False), ("forbid", None, 25, None, False)]),
        ('resource.host != "10.0.0.1"', [ANYWHERE, ("forbid", "10.0.0.1", None, None, False)]),
        ("[80, 443].contains(resource.port)", [("permit", None, 80, None, False), ("permit", None, 443, None, False)]),
        ('resource.host == "10.0.0.0/8"', []),
        ('resource.host == "Gw.test"', []),
    ],
)  # fmt: skip
def test_conditions_as_rules(condition: str, expected: list[object]) -> None:
    assert said(permit(condition)) == expected


def test_a_set_is_its_destinations() -> None:
    known = firm(
        Destination(name="llm", host="llm.test", port=443, protocol="tcp", sets=("models",)),
        Destination(name="lan", host="10.0.0.0/8", sets=("models",)),
        Destination(name="other", host="other.test", sets=("others",)),
    )
    text = permit('resource in DestinationSet::"models"')
    assert said(text, known) == [("permit", "llm.test", 443, "tcp", True), ("permit", "10.0.0.0/8", None, None, False)]
    found = rules(text, known)
    assert may_connect(found, "10.9.9.9", 1, "udp")
    assert not may_connect(found, "llm.test", 80, "tcp")


def test_a_forbid_of_an_address_in_a_permitted_network_wins() -> None:
    known = firm(Destination(name="lan", host="10.0.0.0/8", sets=("lan",)))
    found = rules(permit('resource in DestinationSet::"lan"') + forbid('resource.host == "10.0.0.1"'), known)
    assert not may_connect(found, "10.0.0.1", 80, "tcp")
    assert may_connect(found, "10.0.0.2", 80, "tcp")


def test_forbidding_all_but_one_is_a_permit_of_the_one() -> None:
    text = permit("true") + forbid('!(resource.host == "gw.test")')
    assert said(text) == [("permit", "gw.test", None, None, True)]
    assert compiled(text).report.stays == ()


def test_a_name_that_a_policy_forbids_is_forbidden_though_nothing_permits_it() -> None:
    text = permit('resource.host == "good.test"') + forbid('resource.host == "evil.test"')
    assert ("forbid", "evil.test", None, None, True) in said(text)


def test_all_but_a_name_is_not_permitted_where_addresses_are_not_known() -> None:
    done = compiled(permit('resource.host != "evil.test"'))
    assert done.rules.classes[0].network == ()
    (stays,) = done.report.stays
    assert (stays.clause, stays.action) == ('resource.host != "evil.test"', "connectNetwork")
    assert "any address may be the name's" in stays.reason


def test_what_forbids_have_to_hit_too_is_told() -> None:
    text = permit("resource.port != 25") + permit('resource.host == "10.0.0.1" && resource.port == 25')
    done = compiled(text)
    assert not may_connect(done.rules.classes[0], "10.0.0.1", 25, "tcp")
    assert may_connect(done.rules.classes[0], "10.0.0.1", 26, "tcp")
    assert "connectNetwork" in done.report.classes[0].incomplete
    assert {each.clause for each in done.report.stays} == {"10.0.0.1, port 25, tcp", "10.0.0.1, port 25, udp"}


def test_a_network_as_host_is_no_permit_and_a_forbid_of_it_all() -> None:
    text = permit('resource.host == "10.0.0.5"') + forbid('resource.host == "10.0.0.0/8"')
    done = compiled(text)
    assert not may_connect(done.rules.classes[0], "10.0.0.5", 80, "tcp")
    assert "taken as 10.0.0.0/8" in done.report.stays[0].reason


def test_listening_has_rules_of_its_own() -> None:
    bind = CONNECT.replace("connect", "bind")
    found = rules(permit('resource.host == "127.0.0.1" && resource.port == 8000', bind))
    assert may_bind(found, "127.0.0.1", 8000, "tcp")
    assert not may_connect(found, "127.0.0.1", 8000, "tcp")
    assert found.network == ()


def test_too_many_ports_at_one_host_leave_the_policy_out() -> None:
    ports = ", ".join(map(str, range(1, MAX_PORTS + 2)))
    text = permit('resource.host == "10.0.0.1"') + permit(f"[{ports}].contains(resource.port)")
    done = compiled(text)
    assert may_connect(done.rules.classes[0], "10.0.0.1", 1, "tcp")
    assert not may_connect(done.rules.classes[0], "10.0.0.2", 1, "tcp")
    assert [(each.policy, each.clause) for each in done.report.stays] == [("p1", "(the whole policy)")]
    forbidding = compiled(
        permit('resource.host == "10.0.0.1"') + permit("true") + forbid(f"[{ports}].contains(resource.port)")
    )
    assert not may_connect(forbidding.rules.classes[0], "10.0.0.1", 4000, "tcp")


def test_a_thousand_destinations_are_compiled_soon() -> None:
    known = firm(*(Destination(name=f"d{n}", host=f"h{n}.test", port=443, sets=("s",)) for n in range(1000)))
    start = time.process_time()
    assert len(rules(permit('resource in DestinationSet::"s"'), known).network) == 1000
    assert time.process_time() - start < 30
