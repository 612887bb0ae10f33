"""Splitting policy files: every problem has its line, and no text reaches Cedar's parser that could crash it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.policy.source import (
    MAX_DEPTH,
    MAX_OPERATORS,
    Place,
    PolicySource,
    Problem,
    did_you_mean,
    place_of,
    statements,
)


def split(text):
    return statements(PolicySource("platform/a.cedar", text))


def test_statements_know_their_lines_and_ignore_semicolons_in_strings_and_comments():
    text = '// one; two\n@id("a;b")\npermit (principal, action, resource);\n\n  forbid // ";\n (principal);'
    first, second = split(text)
    assert (first.line, second.line) == (2, 5)
    assert first.text == '@id("a;b")\npermit (principal, action, resource);'
    assert second.line_of("principal") == 6


def test_a_word_is_found_bare_or_as_a_string_literal():
    (only,) = split('permit (principal,\n action, resource) when { principal.risk_level ==\n "hihg" };')
    assert only.line_of("hihg") == 3
    assert only.line_of("risk_level") == 2
    assert only.line_of("absent") == 1
    assert only.has("hihg")
    assert not only.has("absent")


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ('\npermit (principal, action, resource) when { "open };', 2, "not closed"),
        ("permit (principal, action, resource)", 1, "semicolon"),
        ("permit (principal,\n action, resource));", 2, "closes nothing"),
        ("permit (principal,\n action, [resource);", 2, "closes nothing"),
        ("permit\n (principal, action, resource;", 2, "not closed"),
        (f"permit (principal, action, resource) when {{ {'(' * 2000}true{')' * 2000} }};", 1, "nests deeper"),
        (f"permit (principal, action, resource) when {{ true{' && true' * 3000} }};", 1, "operators"),
        (f"permit (principal, action, resource) when {{ {'if true then ' * 3000} }};", 1, "operators"),
        (f"permit (principal, action, resource) when {{ {'[' * 3000} }};", 1, "nests deeper"),
    ],
)
def test_what_cannot_be_split_is_a_problem_at_its_line(text, line, part):
    problem = split(text)
    assert isinstance(problem, Problem)
    assert problem.line == line
    assert part in problem.message
    assert len(problem.message) < 200


def test_the_limits_leave_room_for_real_policies():
    depth = "(" * (MAX_DEPTH - 2) + "true" + ")" * (MAX_DEPTH - 2)
    chain = "true" + " && true" * (MAX_OPERATORS - 1)
    for condition in (depth, chain):
        assert isinstance(split(f"permit (principal, action, resource) when {{ {condition} }};"), tuple)


def test_a_file_has_a_largest_size():
    assert isinstance(split(" " * 1_000_001), Problem)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_split_or_refused(text):
    found = split(text)
    if isinstance(found, Problem):
        assert found.line >= 0
        return
    assert all(statement.text.endswith(";") for statement in found)
    assert all(text.split("\n")[statement.line - 1].strip() for statement in found)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("guardrails/a.cedar", Place("guardrails")),
        ("platform/deep/a.cedar", Place("platform")),
        ("teams/finance/a.cedar", Place("teams", "finance")),
        ("baseline/a.cedar", Place("baseline")),
        ("teams/a.cedar", None),
        ("a.cedar", None),
        ("Guardrails/a.cedar", None),
        ("guardrails/../teams/a.cedar", None),
        ("guardrails//a.cedar", None),
        ("/guardrails/a.cedar", None),
    ],
)
def test_the_first_folder_is_the_tier(path, place):
    assert place_of(path) == place


def test_the_nearest_word_is_offered():
    assert did_you_mean("finance-agnets", {"finance-agents", "audit"}) == '; did you mean "finance-agents"?'
    assert did_you_mean("zzz", {"finance-agents"}) == ""


def test_problems_read_as_file_line_severity():
    assert str(Problem("a.cedar", 3, "x", "bad")) == "a.cedar:3: error: policy `x`: bad"
    assert str(Problem("a.cedar", 0, None, "bad", "warning")) == "a.cedar: warning: bad"
