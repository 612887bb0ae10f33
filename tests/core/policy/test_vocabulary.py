"""A word that the registry does not know keeps the bundle from loading."""

import pytest

from gateway.core.policy.bundle import Bundle, PolicySource, compile_bundle

FORBID = '@id("p")\nforbid (principal is Agent, action == Action::"invokeTool", resource is Tool)\nwhen {{ {} }};'


def found(kit, firm, condition):
    return compile_bundle([PolicySource("platform/a.cedar", FORBID.format(condition))], kit.SCHEMA, firm)


@pytest.mark.parametrize(
    ("condition", "near"),
    [
        ('principal.risk_level == "hihg"', "high"),
        ('"hihg" == principal.risk_level', "high"),
        ('resource.risk_level != "medum"', "medium"),
        ('["low", "hihg"].contains(principal.risk_level)', "high"),
        ('principal.status == "suspend"', "suspended"),
        ('principal.environment == "prodution"', "production"),
        ('resource.environment == "stagging"', "staging"),
        ('context.protocol == "mpc"', "mcp"),
        ('context.protocol == "tcp"', "mcp"),
        ('principal.capabilities.contains("finanse")', "finance"),
        ('principal.capabilities.containsAny(["audit", "plannin"])', "planning"),
        ('principal in Group::"finance-agnets"', "finance-agents"),
        ('principal in [Group::"finance-agents", Group::"finance-lead"]', "finance-leads"),
        ('principal in AgentClass::"data-analyzt"', "data-analyst"),
        ('principal in Team::"finanse"', "finance"),
        ('principal.team == Team::"platfrom"', "platform"),
        ('resource in ToolSet::"payment"', "payments"),
        ('resource.server == McpServer::"leger"', "ledger"),
        ('resource == Tool::"ledger/pai"', "ledger/pay"),
        ('principal == Agent::"analist"', "analyst"),
        ('context has user && context.user == User::"corp|mari"', "corp|maria"),
    ],
)
def test_an_unknown_word_is_an_error_with_the_nearest_known_one(kit, firm, condition, near):
    problems = found(kit, firm, condition)
    assert isinstance(problems, tuple)
    (problem,) = problems
    assert (problem.line, problem.policy) == (3, "p")
    assert f'did you mean "{near}"?' in problem.message


@pytest.mark.parametrize(
    "condition",
    [
        'principal.risk_level == "high"',
        'principal.environment == "production" && resource.environment != "staging"',
        'principal.environment == "development"',
        'principal.purpose == "anything"',
        'principal.capabilities.contains("audit")',
        'resource.server == McpServer::"ledger"',
        'context.protocol == "mcp"',
        'context.scopes.contains("whatever")',
    ],
)
def test_known_words_load(kit, firm, condition):
    assert isinstance(found(kit, firm, condition), Bundle)


def test_closed_values_are_not_matched_by_pattern(kit, firm):
    (problem,) = found(kit, firm, 'principal.risk_level like "hi*"')
    assert "closed values" in problem.message


def test_scope_words_are_checked_too(kit, firm):
    text = '@id("p") permit (principal in Group::"finance-agnets", action == Action::"invokeTool", resource);'
    (problem,) = compile_bundle(kit.files(text), kit.SCHEMA, firm)
    assert 'did you mean "finance-agents"' in problem.message


@pytest.mark.parametrize(("word", "good"), [("tcp", True), ("udp", True), ("tpc", False), ("mcp", False)])
def test_the_protocol_of_a_destination_is_another_word(kit, firm, word, good):
    text = f"""@id("p") permit (principal, action == Action::"connectNetwork", resource)
when {{ resource.protocol == "{word}" }};"""
    loaded = compile_bundle(kit.files(text), kit.SCHEMA, firm)
    assert isinstance(loaded, Bundle) is good
    if not good:
        assert f'no resource.protocol is "{word}"' in loaded[0].message
