"""Parsing one file: every policy with its id, place and line, or every syntax error with its line."""

import pytest
from cedarpy import PolicySet

from gateway.core.policy.rule import PolicyInfo, Rule, parse, policy_set
from gateway.core.policy.source import PolicySource, Problem

GOOD = "permit (principal, action, resource);"


def test_policies_keep_their_ids_and_lines():
    first, second = parse(PolicySource("platform/a/b.cedar", f'@id("one")\n{GOOD}\n\n{GOOD}'))
    assert (first.id, first.named, first.statement.line) == ("one", True, 1)
    assert (second.id, second.named, second.statement.line) == ("platform/a/b#1", False, 4)
    assert first.place.tier == "platform"
    assert PolicyInfo.of(second).line == 4


def test_cedar_answers_with_our_ids():
    (rule,) = parse(PolicySource("platform/a.cedar", f'@id("we ird/#0")\n{GOOD}'))
    handle = PolicySet.from_pst(policy_set({rule.id: rule.tree}))
    assert list(handle.to_pst().static_policies) == ["we ird/#0"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("permit (principal,\n acton, resource);", 2),
        ("permit (principal, action, resource)\nwhen { principal.x\n = 1 };", 3),
        ("permitt (principal, action, resource);", 1),
        ("permit (principal, action, resource)\nwhen { principal.foo() };", 2),
        ('@id("a")\n@id("b")\npermit (principal, action, resource);', 1),
        ("\npermit (principal == ?principal, action, resource);", 2),
        (";", 1),
    ],
)
def test_syntax_errors_stand_at_the_word_that_cedar_names(text, line):
    (problem,) = parse(PolicySource("platform/a.cedar", text))
    assert isinstance(problem, Problem)
    assert (problem.path, problem.line) == ("platform/a.cedar", line)


def test_every_broken_policy_of_a_file_is_told():
    found = parse(PolicySource("platform/a.cedar", f"permit (;\n{GOOD}\nforbid (principal);"))
    assert len(found) == 1, "brackets that do not pair stop the splitting"
    found = parse(PolicySource("platform/a.cedar", f"permit ();\n{GOOD}\nforbid (principal);"))
    assert [problem.line for problem in found] == [1, 3]


@pytest.mark.parametrize("path", ["kernel/a.cedar", "admin/a.cedar"])
def test_other_bundles_are_left_alone(path):
    assert parse(PolicySource(path, "nonsense")) == ()


def test_rules_compare_by_identity():
    one, two = (parse(PolicySource("platform/a.cedar", GOOD))[0] for _ in range(2))
    assert isinstance(one, Rule)
    assert one != two
