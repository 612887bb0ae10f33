"""A policy that Cedar can't read is told at the line where reading stopped, with what to do."""

import pytest

from gateway.core.policy.rule import parse
from gateway.core.policy.source import PolicySource, Problem

HEAD = '@id("a")\npermit (principal, action, resource)\nwhen {\n'


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (HEAD + "  principal.risk ==\n};", 5, "look just before it"),
        (HEAD + "  true &&\n  principal.risk principal.risk\n};", 5, "look just before it"),
        (HEAD + "  principal.risk\n  = 1\n};", 5, "compare with `==`"),
        (HEAD + "  true\n  #\n};", 5, "no part of Cedar"),
        (HEAD + '  "a" like\n  b\n};', 4, "between quotes"),
        (HEAD + "  true\n}\nwhn { true };", 6, "say when or unless"),
        ("permit (\n  principal,\n  actoin,\n  resource\n);", 3, "a policy begins with"),
        ("permit (\n  principal,\n  action == Action::invoke,\n  resource\n);", 3, 'Type::"name"'),
        ("allow (principal, action, resource);", 1, "say permit or forbid"),
        ('@id("a")\n@id("b")\npermit (principal, action, resource);', 1, "keep one of them"),
        (HEAD + "  principal.risk > 99999999999999999999\n};", 4, "64-bit"),
    ],
)
def test_where_reading_stopped(text, line, part):
    (problem,) = parse(PolicySource("platform/a.cedar", text))
    assert isinstance(problem, Problem)
    assert part in problem.message
    assert problem.line == line, problem
