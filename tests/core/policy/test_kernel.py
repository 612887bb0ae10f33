"""Policies of ``kernel/`` are checked for what can be known before they are compiled."""

import pytest

from gateway.core.policy.bundle import PolicySource
from gateway.core.policy.kernel import kernel_problems

READ = 'principal in AgentClass::"data-analyst", action == Action::"readFile", resource is FilePath'


def found(kit, registry, text):
    return kernel_problems([PolicySource("kernel/a.cedar", text)], kit.SCHEMA, registry)


def test_the_shipped_ones_are_good(kit, firm):
    assert kernel_problems(kit.shipped("kernel"), kit.SCHEMA, firm) == ()
    assert len(kit.shipped("kernel")) == 1


@pytest.mark.parametrize(
    ("text", "line", "part", "severity"),
    [
        (f"permit ({READ});", 1, "no @id", "error"),
        (f'@id("a") permit ({READ});\n@id("a") permit ({READ});', 2, "taken by the policy at", "error"),
        (f'@id("a")\n@aproval("x")\npermit ({READ});', 2, "unknown annotation @aproval", "error"),
        ('@id("a")\npermit (principal,\n action, resource);', 3, "of the machine only", "error"),
        ('@id("a")\npermit (principal,\n action == Action::"delegate", resource);', 3, "of the machine", "error"),
        (f'@id("a") permit ({READ}) when {{ resource.pth == "/x" }};', 1, "pth", "error"),
        (f'@id("a")\nforbid ({READ.replace("analyst", "analyzt")});', 2, 'did you mean "data-analyst"', "error"),
        (f'@id("a")\npermit ({READ.replace("analyst", "analyzt")});', 2, 'did you mean "data-analyst"', "warning"),
        (f'@id("a")\npermit ({READ}) when {{ true &&\n }};', 3, "not valid Cedar", "error"),
        (f'@id("a")\npermit ({READ})', 1, "no closing semicolon", "error"),
    ],
)  # fmt: skip
def test_what_is_wrong(kit, firm, text, line, part, severity):
    (problem,) = found(kit, firm, text)
    assert (problem.line, problem.severity) == (line, severity)
    assert part in problem.message
