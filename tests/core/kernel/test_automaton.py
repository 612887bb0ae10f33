"""The automaton of path patterns: Cedar's ``like`` byte by byte, minimal, and bounded."""

import json
import struct
import time

import pytest
from cedarpy import Entities, PolicySet, is_authorized
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.kernel.asked import may_use
from gateway.core.kernel.automaton import matching
from gateway.core.kernel.minimal import Minimal, minimal, tables
from gateway.core.kernel.pattern import Pattern, like, literal
from gateway.core.kernel.rules import MAX_STATES, Automaton
from gateway.core.policy.rule import policy_set
from tests.core.kernel.machines import policies, rules

SCOPE = 'principal in AgentClass::"a", action == Action::"readFile", resource is FilePath'
WORDS = st.text(st.sampled_from("/ab*é\n🙂\\"), max_size=4)


def cedar_string(text: str) -> str:
    """The text as it stands in a Cedar pattern or string, without quotes."""
    return "".join(f"\\u{{{ord(each):x}}}" if not each.isalnum() and each not in "/*" else each for each in text)


@st.composite
def cedar_patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(WORDS, min_size=1, max_size=4))
    return "*".join(cedar_string(part).replace("*", "\\*") for part in parts)


def cedar_matches(pattern: str, path: str) -> bool:
    (policy,) = policies(f'permit (principal, action, resource) when {{ resource.path like "{pattern}" }};')
    entity = {"uid": {"type": "FilePath", "id": "x"}, "attrs": {"path": path}, "parents": []}
    request = {"principal": 'Agent::"ann"', "action": 'Action::"readFile"', "resource": 'FilePath::"x"'}
    found = PolicySet.from_pst(policy_set({policy.id: policy.tree}))
    return is_authorized({**request, "context": "{}"}, found, Entities.from_json_str(json.dumps([entity]))).allowed


def of(pattern: str) -> Pattern:
    (policy,) = policies(f'permit (principal, action, resource) when {{ resource.path like "{pattern}" }};')
    return like(policy.tree.clauses[0].expr.pattern)


def run(automaton: Minimal, path: bytes) -> int:
    state = 0
    for byte in path:
        state = automaton.named[state].get(byte, automaton.otherwise[state])
    return automaton.accepts[state]


@given(st.lists(cedar_patterns(), min_size=1, max_size=3), st.lists(WORDS, min_size=1, max_size=4))
def test_every_state_knows_which_patterns_match_as_cedar_does(found: list[str], paths: list[str]) -> None:
    known = [of(each) for each in found]
    automaton = matching(known, 10_000)
    assert automaton is not None
    for path in [*paths, "".join(paths)]:
        matched = automaton.matched[automaton.after(path.encode())]
        assert matched == {number for number, each in enumerate(found) if cedar_matches(each, path)}


@given(st.lists(cedar_patterns(), min_size=1, max_size=4), st.lists(st.binary(max_size=6), max_size=8), st.randoms())
def test_the_smallest_automaton_accepts_the_same(found: list[str], paths: list[bytes], random) -> None:
    known = [of(each) for each in found]
    automaton = matching(known, 10_000)
    assert automaton is not None
    masks = {matched: random.randrange(3) for matched in sorted(set(automaton.matched), key=sorted)}
    accepts = [masks[matched] for matched in automaton.matched]
    small = minimal(automaton, accepts)
    again = minimal(matching(known, 10_000), accepts)
    assert small == again
    assert len(small.accepts) <= len(accepts)
    table = tables(small)
    assert table is not None
    some = [b"".join(paths), *paths, *(b"*".join(pattern.parts) for pattern in known)]
    for path in some:
        assert run(small, path) == accepts[automaton.after(path)] == in_table(table, path)


def in_table(table: Automaton, path: bytes) -> int:
    numbers = struct.unpack(f"<{len(table.transitions) // 2}H", table.transitions)
    width, state = max(table.classes) + 1, table.start
    assert len(numbers) == table.states * width
    for byte in path:
        state = numbers[state * width + table.classes[byte]]
    return table.accepts[state]


def test_no_two_states_of_the_smallest_are_alike() -> None:
    found = matching([Pattern((b"/ab/", b"")), Pattern((b"/cb/", b"")), literal("/x")], 100)
    small = minimal(found, [1 if each else 0 for each in found.matched])
    # Start, nowhere, after the first `/`, after a or c, after x, after b, and in the directory.
    assert len(small.accepts) == 7
    assert run(small, b"/cb/anything") == run(small, b"/x") == 1


def test_fifty_directories_take_few_states() -> None:
    text = "\n".join(f'permit ({SCOPE}) when {{ resource.path like "/srv/data-{n:02}/{n % 7}/*" }};' for n in range(50))
    found = rules(text).files.automaton
    assert found.states < 130
    assert max(found.classes) < 20


def test_neighbouring_stars_are_one_and_escaped_ones_are_characters() -> None:
    assert of("/a**b") == Pattern((b"/a", b"b"))
    assert of(r"/a\**") == Pattern((b"/a*", b""))
    assert of(r"/a\*b").literal == b"/a*b"
    assert of(r"/a\*b").text() == r"/a\*b"
    assert of("/é/*").parts == ("/é/".encode(), b"")


@pytest.mark.parametrize("path", [b"/srv/\xff", b"/srv/\xc3", b"/srv/\xc3\xa9/\xed\xa0\x80"])
def test_paths_that_are_no_text_match_as_bytes(path: bytes) -> None:
    assert may_use(rules(f'permit ({SCOPE}) when {{ resource.path like "/srv/*" }};'), "readFile", path)
    forbid = f'permit ({SCOPE}); forbid ({SCOPE}) when {{ resource.path like "/srv/*" }};'
    assert not may_use(rules(forbid), "readFile", path)


def test_a_hostile_set_of_patterns_is_given_up_soon() -> None:
    many = [Pattern((f"/{n}/x{n}".encode(),)) for n in range(10_000)]
    wild = [Pattern((b"", f"a{n}b".encode(), b"")) for n in range(40)]
    start = time.process_time()
    assert matching(many, MAX_STATES) is None
    assert matching(wild, MAX_STATES) is None
    assert time.process_time() - start < 60
