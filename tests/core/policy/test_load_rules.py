"""Each load rule refuses what it is for, at its line, and lets its neighbour through."""

import pytest
from msgspec import structs

from gateway.core.policy.bundle import OPEN, Bundle, PolicySource, compile_bundle

INVOKE = 'principal is Agent, action == Action::"invokeTool", resource'
TEAM = '(principal is Agent, action == Action::"invokeTool", resource in Team::"finance");'


def compiled(kit, registry, text, path="platform/test.cedar"):
    return compile_bundle([PolicySource(path, text)], kit.SCHEMA, registry)


def refused(kit, registry, text, path="platform/test.cedar"):
    found = compiled(kit, registry, text, path)
    assert isinstance(found, tuple), "the bundle loaded"
    (problem,) = found
    return problem


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (
            '@id("a") permit (principal, action, resource);\n@id("a") permit (principal is User, action, resource);',
            2,
            "taken by the policy at platform/test.cedar:1",
        ),
        ('@id("") permit (principal, action, resource);', 1, "1 to 128"),
        ('@id("a b") permit (principal, action, resource);', 1, "1 to 128"),
        (f'@id("{OPEN}") forbid (principal, action, resource);', 1, "1 to 128"),
        (
            '@id("a")\n@aproval("finance-leads") forbid (principal, action, resource) unless { context has user };',
            2,
            'did you mean "approval"',
        ),
        ('@id("a") @mode("stagd") permit (principal, action, resource);', 1, 'did you mean "staged"'),
        ('@mode("staged") permit (principal, action, resource);', 1, "needs an @id"),
        ('@id("a") @mode("staged-delete") permit (principal, action, resource);', 1, "names no enforced policy"),
        ('@id("a") permit (principal == ?principal, action, resource);', 1, "templates"),
        ('@id("a")\npermit (principal, action, resource)\nwhen { foo };', 3, "foo"),
        (
            '@id("a")\npermit (principal is Agent, action, resource)\nwhen { principal.risk_levle == "low" };',
            3,
            'did you mean "risk_level"',
        ),
        ('@id("a")\npermit (principal is Agnet, action, resource);', 2, 'did you mean "Agent"'),
        ('@id("a")\npermit (principal,\n action == Action::"invokeTol", resource);', 3, 'did you mean "invokeTool"'),
        (
            '@id("a") permit (principal is Agent, action, resource is Tool) when { context == context };',
            1,
            "as a whole",
        ),
    ],
)
def test_one_thing_wrong_is_one_problem_first(kit, firm, text, line, part):
    found = compiled(kit, firm, text)
    assert isinstance(found, tuple)
    assert any(p.line == line and part in p.message for p in found), "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("path", "text", "part"),
    [
        ("guardrails/a.cedar", f'@id("a") permit {TEAM}', "forbid policies only"),
        ("baseline/a.cedar", f'@id("a") forbid {TEAM}', "permit policies only"),
        ("teams/finanse/a.cedar", f'@id("a") permit {TEAM}', 'did you mean "finance"'),
        ("teams/platform/a.cedar", f'@id("a") permit {TEAM}', 'resource in Team::"platform"'),
        ("teams/finance/a.cedar", f'@id("a") permit ({INVOKE});', 'resource in Team::"finance"'),
        ("teams/finance/a.cedar", f'@id("a") permit ({INVOKE} is Tool);', 'resource in Team::"finance"'),
        ("teams/finance/a.cedar", f'@id("a") permit ({INVOKE} == Tool::"reports/publish_report");', "own resources"),
        ("teams/finance/a.cedar", f'@id("a") permit ({INVOKE} in McpServer::"reports");', "own resources"),
    ],
)
def test_a_folder_bounds_what_its_policies_say(kit, firm, path, text, part):
    assert part in refused(kit, firm, text, path).message


@pytest.mark.parametrize(
    "scope",
    [
        'in Team::"finance"',
        '== Tool::"ledger/pay"',
        'in McpServer::"ledger"',
        'in ToolSet::"payments"',
        'is Tool in ToolSet::"payments"',
    ],
)
def test_a_team_may_name_its_own_resources(kit, firm, scope):
    text = f'@id("a") permit ({INVOKE} {scope});'
    assert isinstance(compiled(kit, firm, text, "teams/finance/a.cedar"), Bundle)


def test_a_set_that_another_teams_tool_joins_is_no_longer_the_teams_own(kit, firm):
    text = f'@id("a") permit ({INVOKE} in ToolSet::"payments");'
    reports = firm.servers["reports"]
    joined = structs.replace(
        reports,
        tools={"publish_report": structs.replace(reports.tools["publish_report"], sets=("payments",))},
    )
    changed = structs.replace(firm, servers={**firm.servers, "reports": joined})
    assert "own resources" in refused(kit, changed, text, "teams/finance/a.cedar").message


PRESENT = "context has args.ledger.pay && context.args.ledger.pay has memo && context.args.ledger.pay.memo"


def test_a_forbid_may_not_hang_on_an_optional_argument(kit, firm):
    text = f'@id("a") forbid ({INVOKE})\nwhen {{ {PRESENT} == "x" }};'
    problem = refused(kit, firm, text)
    assert (problem.line, "ledger.pay.memo" in problem.message) == (2, True)
    assert isinstance(compiled(kit, firm, text.replace("forbid", "permit")), Bundle)


def test_arguments_of_unknown_tools_are_refused_with_the_nearest_name(kit, firm):
    text = f'@id("a") forbid ({INVOKE}) when {{ context has args.ledger.pay && context.args.ledger.pay.amuont > 1 }};'
    assert 'did you mean "amount"' in refused(kit, firm, text).message
