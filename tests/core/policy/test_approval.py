"""``@approval`` has one shape, and nothing else depends on approval."""

import pytest

from gateway.core.policy.bundle import Bundle, compile_bundle

SCOPE = '(principal, action == Action::"invokeTool", resource in ToolSet::"payments")'
GOOD = (
    f'@id("a") @approval("finance-leads")\nforbid {SCOPE}\nwhen {{ context.reentry }}\nunless {{ context.approved }};'
)


def compiled(kit, firm, text, path="platform/a.cedar"):
    return compile_bundle(kit.files(text, path=path), kit.SCHEMA, firm)


def test_the_shape_loads(kit, firm):
    assert isinstance(compiled(kit, firm, GOOD), Bundle)
    assert isinstance(compiled(kit, firm, GOOD.replace("\nwhen { context.reentry }", "")), Bundle)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (GOOD.replace("forbid", "permit"), "goes on a forbid"),
        (GOOD.replace("unless { context.approved }", ""), "must end in exactly"),
        (GOOD.replace("unless { context.approved }", "when { !context.approved }"), "must end in exactly"),
        (GOOD.replace("unless { context.approved }", "unless { context.approved && true }"), "must end in exactly"),
        (
            GOOD.replace("unless { context.approved }", 'unless { context["approved"] || context.reentry }'),
            "must end in",
        ),
        (
            GOOD.replace("when { context.reentry }\n", "")
            + "\n"
            + GOOD.replace('"a"', '"b"').replace("context.reentry", "context.approved"),
            "only the last clause",
        ),
        (GOOD.replace(";", " when { context.reentry };"), "must end in exactly"),
        (GOOD.replace("finance-leads", "finance-lead"), 'did you mean "finance-leads"'),
        (GOOD.replace('@approval("finance-leads")', ""), "only the last clause"),
        (f'@id("a") permit {SCOPE} when {{ context.approved }};', "only the last clause"),
        (f'@id("a") forbid {SCOPE} unless {{ context.approvers.isEmpty() }};', "only forbids in guardrails/"),
    ],
)
def test_any_other_shape_is_refused(kit, firm, text, part):
    found = compiled(kit, firm, text)
    assert isinstance(found, tuple)
    assert any(part in problem.message for problem in found), "\n".join(map(str, found))


def test_guardrail_forbids_may_read_approvers(kit, firm):
    text = f'@id("a") forbid {SCOPE} when {{ context has user && context.approvers.contains(context.user) }};'
    assert isinstance(compiled(kit, firm, text, "guardrails/a.cedar"), Bundle)
    assert isinstance(compiled(kit, firm, text, "platform/a.cedar"), tuple)
