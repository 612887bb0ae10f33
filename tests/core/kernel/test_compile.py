"""What compiles, what stays behind and why, clause by clause; which policies count; classes and their agents."""

import pytest

from gateway.core.kernel.asked import class_of, may_use
from gateway.core.kernel.rules import MAX_CLASSES
from gateway.core.kernel.system_calls import KNOWN
from gateway.core.registry import AgentClass
from tests.core.kernel.machines import agent, compiled, policies, registry, rules

READ = 'principal in AgentClass::"a", action == Action::"readFile", resource is FilePath'
CALL = 'principal in AgentClass::"a", action == Action::"systemCall", resource is SystemCall'
UNDER = 'resource.path like "/srv/*"'


def outcome(text: str, known=None) -> str:
    return compiled(text, known).report.policies[0].outcome


@pytest.mark.parametrize(
    ("condition", "clause", "reason"),
    [
        ("context has user", "context has user", "it reads the context"),
        ("resource.path == principal.purpose", "resource.path == principal.purpose", "compares the agent"),
        ('principal == Agent::"ann"', 'principal == Agent::"ann"', "it isn't true for ben"),
        ("principal.risk * 9223372036854775807 > 99", "(principal.risk * 9223372036854775807) > 99", "it fails for"),
        ('principal.getTag("t") == "x"', 'principal.getTag("t") == "x"', "it fails for some agent"),
    ],
)
def test_a_permit_with_such_a_part_is_dropped_and_a_forbid_is_widened(condition: str, clause: str, reason: str) -> None:
    known = registry([agent("ann", "a", risk_level="low"), agent("ben", "a", risk_level="high")])
    dropped = compiled(f"permit ({READ}) when {{ {UNDER} }} when {{ {condition} }};", known)
    (stays,) = dropped.report.stays
    assert (stays.clause, stays.effect, stays.action, stays.classes) == (
        clause,
        "permits nothing of",
        "readFile",
        ("a",),
    )
    assert reason in stays.reason
    assert dropped.report.policies[0].outcome == "dropped"
    assert not may_use(dropped.rules.classes[0], "readFile", b"/srv/x")
    text = f'permit ({READ}) when {{ {UNDER} }}; forbid ({READ}) when {{ resource.path == "/srv/x" && {condition} }};'
    widened = compiled(text, known)
    assert not may_use(widened.rules.classes[0], "readFile", b"/srv/x")
    assert may_use(widened.rules.classes[0], "readFile", b"/srv/y")
    assert widened.report.stays[0].effect == "forbids more of"
    assert widened.report.policies[1].outcome == "widened"


def test_one_branch_that_does_not_compile_leaves_the_other() -> None:
    text = f'permit ({READ}) when {{ {UNDER} || (context has user && resource.path == "/x") }};'
    done = compiled(text)
    assert may_use(done.rules.classes[0], "readFile", b"/srv/x")
    assert not may_use(done.rules.classes[0], "readFile", b"/x")
    assert done.report.policies[0].outcome == "narrowed"
    assert done.report.stays[0].effect == "permits less of"


def test_nothing_after_a_part_that_can_fail_is_believed_in_a_permit() -> None:
    failing = "principal.risk * 9223372036854775807 > 99"
    known = registry([agent("ann", "a", risk_level="high")])
    assert not may_use(rules(f"permit ({READ}) when {{ {failing} || {UNDER} }};", known), "readFile", b"/srv/x")
    assert may_use(rules(f"permit ({READ}) when {{ {UNDER} || {failing} }};", known), "readFile", b"/srv/x")


def test_registry_facts_that_are_alike_for_all_agents_of_a_class_compile() -> None:
    text = f'permit ({READ}) when {{ principal.risk_level == "low" && {UNDER} }};'
    done = compiled(text)
    assert may_use(done.rules.classes[0], "readFile", b"/srv/x")
    assert done.report.classes[0].complete == tuple(
        name for name in (*done.report.classes[0].complete,) if name != "systemCall"
    )
    assert "readFile" in done.report.classes[0].complete


def test_the_clause_is_told_with_file_and_line() -> None:
    text = f'@id("p")\npermit ({READ})\nwhen {{\n  {UNDER} &&\n  resource.path == principal.purpose\n}};'
    (stays,) = compiled(text).report.stays
    assert (stays.policy, stays.file, stays.line) == ("p", "kernel/a.cedar", 5)


def test_one_suspended_agent_stops_its_class() -> None:
    text = f"permit ({READ}) when {{ {UNDER} }};"
    guardrail = policies(
        '@id("g") forbid (principal is Agent, action, resource) when { principal.status == "suspended" };', "guardrails"
    )
    known = registry([agent("ann", "a"), agent("ben", "a", status="suspended"), agent("cat", "b")])
    done = compiled((*policies(text), *guardrail), known)
    a, b = done.rules.classes
    assert not may_use(a, "readFile", b"/srv/x")
    assert a.system_calls is not None
    assert a.system_calls.allowed == ()
    assert b.system_calls is None
    assert {each.classes for each in done.report.stays} == {("a",)}
    fine = compiled((*policies(text), *guardrail), registry([agent("ann", "a")]))
    assert may_use(fine.rules.classes[0], "readFile", b"/srv/x")
    assert fine.report.stays == ()


def test_a_gateway_permit_counts_only_where_it_names_the_kernel() -> None:
    group = policies(
        '@id("g") permit (principal is Agent, action in Action::"read", resource) when { true };', "platform"
    )
    done = compiled(group)
    assert not may_use(done.rules.classes[0], "readFile", b"/srv/x")
    (stays,) = done.report.stays
    assert (stays.policy, stays.action, stays.clause) == ("g", "readFile", "action")
    named = policies(f'@id("g") permit ({READ}) when {{ {UNDER} }};', "platform")
    assert may_use(compiled(named).rules.classes[0], "readFile", b"/srv/x")
    forbid = policies('@id("f") forbid (principal is Agent, action in Action::"read", resource);', "guardrails")
    assert not may_use(compiled((*named, *forbid)).rules.classes[0], "readFile", b"/srv/x")


def test_gateway_policies_about_calls_are_not_told() -> None:
    calls = policies(
        '@id("c") permit (principal is Agent, action == Action::"invokeTool", resource is Tool);', "platform"
    )
    users = policies('@id("u") permit (principal is User, action, resource);', "baseline")
    report = compiled((*calls, *users)).report
    assert (report.policies, report.stays) == ((), ())


def test_a_class_without_agents_is_known_by_its_name_only() -> None:
    known = registry([agent("ann", "a")], classes=[AgentClass(name="quarantine", audit=True, hide=True)])
    scope = READ.replace('AgentClass::"a"', 'AgentClass::"quarantine"')
    low = 'principal is Agent, action == Action::"writeFile", resource is FilePath'
    text = f'permit ({scope}) when {{ {UNDER} }}; permit ({low}) when {{ principal.risk_level == "low" }};'
    done = compiled(text, known)
    found = class_of(done.rules, "quarantine")
    assert found is not None
    assert (found.audit, found.hide) == (True, True)
    assert may_use(found, "readFile", b"/srv/x")
    assert not may_use(found, "writeFile", b"/srv/x")
    assert any("no registered agent" in each.reason for each in done.report.stays)
    assert class_of(done.rules, "nobody") is None


def test_classes_are_sorted_and_those_that_can_not_be_sent_are_told() -> None:
    known = registry([agent("ann", "b", "a", "so so"), *(agent(f"x{n}", f"c{n:03}") for n in range(MAX_CLASSES))])
    done = compiled("", known)
    assert [each.name for each in done.rules.classes] == ["a", "b", *(f"c{n:03}" for n in range(MAX_CLASSES - 2))]
    assert len(done.report.refused) == 3
    assert 'class "so so"' in done.report.refused[-1]


def test_system_calls_are_filtered_where_a_policy_is_about_them() -> None:
    assert rules(f"permit ({READ});").system_calls is None
    found = rules(f'permit ({CALL}); forbid ({CALL}) when {{ resource.name == "ptrace" }};').system_calls
    assert found is not None
    assert set(found.allowed) == KNOWN - {"ptrace"}
    named = rules(
        f'permit ({CALL}) when {{ resource == SystemCall::"read" || resource.name == "write" }};'
    ).system_calls
    assert named is not None
    assert named.allowed == ("read", "write")
    dropped = rules(f"permit ({CALL}) when {{ context.flag }};").system_calls
    assert dropped is not None
    assert dropped.allowed == ()
    assert "mseal" in KNOWN
    assert "openat2" in KNOWN


def test_a_policy_about_no_registered_class_is_unused() -> None:
    assert (
        outcome('permit (principal in AgentClass::"zz", action == Action::"readFile", resource is FilePath);')
        == "unused"
    )
    assert outcome(f"permit ({READ}) when {{ {UNDER} }};") == "compiled"
