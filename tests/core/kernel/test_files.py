"""File rules: forbids subtracted, anchors of what is forbidden, limits that widen, and what can be written and run."""

import pytest

from gateway.core.kernel.asked import anchored, may_use
from gateway.core.kernel.rules import MAX_ANCHORS
from tests.core.kernel.machines import compiled, rules

ANY = 'principal in AgentClass::"a", action in Action::"kernel"'
READ = 'principal in AgentClass::"a", action == Action::"readFile", resource is FilePath'
WRITE = 'principal in AgentClass::"a", action == Action::"writeFile", resource is FilePath'


def permit(condition: str, scope: str = READ) -> str:
    return f"permit ({scope}) when {{ {condition} }};"


def forbid(condition: str, scope: str = READ) -> str:
    return f"forbid ({scope}) when {{ {condition} }};"


def anchors(text: str) -> set[tuple[str, bool, int, str]]:
    found = rules(text)
    return {(each.path, each.prefix, each.mask, found.policies[each.policy]) for each in found.files.anchors}


def test_a_class_without_policies_is_denied_everything() -> None:
    found = rules("")
    assert (found.files.automaton.states, found.files.automaton.accepts) == (1, b"\0")
    assert (found.network, found.binds, found.spawn, found.system_calls) == ((), (), False, None)


def test_forbids_are_subtracted_and_exceptions_are_exact() -> None:
    text = permit('resource.path like "/srv/*"') + forbid('resource.path like "/srv/keys/*"')
    text += permit('resource.path == "/srv/keys/public"')
    found = rules(text)
    assert may_use(found, "readFile", b"/srv/a/b")
    assert not may_use(found, "readFile", b"/srv/keys/public")
    text = permit('resource.path like "/srv/*"')
    text += forbid('resource.path like "/srv/keys/*" && !(resource.path like "*/public")')
    found = rules(text)
    assert may_use(found, "readFile", b"/srv/keys/x/public")
    assert not may_use(found, "readFile", b"/srv/keys/x/private")
    assert not may_use(found, "writeFile", b"/srv/a")


def test_literals_and_directories_that_are_forbidden_have_anchors() -> None:
    text = forbid('resource.path == "/etc/shadow" || resource.path like "/root/*"')
    text += f'forbid ({ANY}, resource) when {{ resource is FilePath && resource.path like "/root/*" }};'
    assert anchors(text) == {
        ("/etc/shadow", False, 1, "p0"),
        ("/root", True, 1, "p0"),
        ("/root", True, 2, "p1"),
    }


def test_a_pattern_without_a_slash_before_its_star_anchors_file_and_directory() -> None:
    assert anchors(forbid('resource.path like "/srv/key*"')) == {
        ("/srv/key", False, 1, "p0"),
        ("/srv/key", True, 1, "p0"),
    }


@pytest.mark.parametrize(
    "condition",
    [
        'resource.path like "/srv/*" && !(resource.path == "/srv/ok")',
        'resource.path like "/srv/*.key"',
        'resource.path like "*"',
        'resource.path like "srv/*"',
        '!(resource.path like "/srv/*")',
    ],
)
def test_what_is_forbidden_only_in_part_has_no_anchor_of_the_whole(condition: str) -> None:
    assert not any(path in ("/srv", "/srv/ok") for path, *_ in anchors(forbid(condition)))


def test_all_of_the_machine_is_anchored_at_its_root() -> None:
    assert anchors(forbid('resource.path like "/*"')) == {("/", False, 1, "p0"), ("/", True, 1, "p0")}


def test_anchors_never_contradict_the_automaton() -> None:
    text = permit('resource.path like "/*"') + forbid('resource.path like "/a/*" || resource.path == "/b"')
    found = rules(text)
    for path in (b"/a", b"/a/", b"/a/b", b"/ab", b"/b", b"/b/c", b"/"):
        automaton_only = rules(text)
        assert anchored(found, 1, path) == (not may_use(automaton_only, "readFile", path))


def test_patterns_that_need_too_many_states_stay_at_the_gateway() -> None:
    wild = " || ".join(f'resource.path like "*a{n}b*c{n}d*"' for n in range(12))
    text = '@id("wild")' + permit(wild) + '@id("plain")' + permit('resource.path like "/srv/*"')
    done = compiled(text)
    (found,) = done.rules.classes
    assert may_use(found, "readFile", b"/srv/x")
    assert not may_use(found, "readFile", b"/a0bc0d")
    (stays,) = done.report.stays
    assert (stays.policy, stays.clause, stays.action) == ("wild", "(the whole policy)", "readFile")
    assert "states" in stays.reason
    assert {each.id: each.outcome for each in done.report.policies} == {"plain": "compiled", "wild": "dropped"}
    assert "readFile" in done.report.classes[0].incomplete


def test_a_forbid_that_needs_too_many_states_forbids_everything() -> None:
    wild = " || ".join(f'resource.path like "*a{n}b*c{n}d*"' for n in range(12))
    done = compiled(permit('resource.path like "/srv/*"') + permit('resource.path == "/x"', WRITE) + forbid(wild))
    (found,) = done.rules.classes
    assert not may_use(found, "readFile", b"/srv/x")
    assert may_use(found, "writeFile", b"/x")
    assert [(each.policy, each.effect) for each in done.report.stays] == [("p2", "forbids all")]


def test_too_many_anchors_forbid_everything() -> None:
    paths = ", ".join(f'"/f/{n:x}"' for n in range(MAX_ANCHORS + 1))
    found = rules(
        permit('resource.path like "/srv/*"') + f"forbid ({READ}) when {{ [{paths}].contains(resource.path) }};"
    )
    assert not may_use(found, "readFile", b"/srv/x")
    assert found.files.anchors == ()


def test_making_processes_has_one_answer() -> None:
    spawn = 'principal in AgentClass::"a", action == Action::"spawnProcess", resource is Executable'
    assert rules(f"permit ({spawn});").spawn
    assert rules(f'permit ({spawn}) when {{ resource.path like "/*" }};').spawn
    done = compiled(f'permit ({spawn}) when {{ resource.path like "/usr/*" }};')
    assert not done.rules.classes[0].spawn
    assert "permit it for all" in done.report.stays[0].reason
    assert not rules(f'permit ({spawn}); forbid ({spawn}) when {{ resource.path == "/bin/sh" }};').spawn


def test_what_may_be_written_and_run_is_told_with_a_path() -> None:
    run = 'principal in AgentClass::"a", action == Action::"execFile", resource is Executable'
    text = permit('resource.path like "/desk/*"', WRITE) + permit('resource.path like "*/bin/*"', run)
    (lint,) = [each for each in compiled(text).report.lints if "execute" in each.message]
    assert lint.policy == "p1"
    assert "may write /desk/bin/ and execute it" in lint.message
    text = permit('resource.path like "/desk/*"', WRITE) + permit('resource.path like "/usr/bin/*"', run)
    assert not any("execute" in each.message for each in compiled(text).report.lints)
