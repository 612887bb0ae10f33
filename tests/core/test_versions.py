"""What a proposal makes of a version, and whose folders it touches: never more than was asked leave for."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.policy.source import place_of
from gateway.core.versions import (
    digest_of,
    file_changes,
    folder_of,
    merged,
    path_fault,
    policy_changes,
    touched,
    within,
)

PARTS = st.sampled_from(["teams", "finance", "sales", "platform", "guardrails", "baseline", "admin", "kernel", "x"])
NAMES = st.sampled_from(["a.cedar", "b.cedar", "a.tests.json", "tests.json"])
PATHS = st.builds(lambda parts, name: "/".join([*parts, name]), st.lists(PARTS, max_size=3), NAMES)
FILES = st.dictionaries(PATHS, st.sampled_from(["", "one", "two"]), max_size=8)
FOLDERS = st.sampled_from(["", "teams/finance", "teams/sales", "platform", "guardrails", "admin"])


@given(FILES, FILES, FOLDERS)
def test_a_folder_is_replaced_and_nothing_else(before, files, folder):
    inside = {path: text for path, text in files.items() if within(path, folder)}
    after = merged(before, folder, inside)
    assert {path: text for path, text in after.items() if within(path, folder)} == inside
    assert {path: text for path, text in after.items() if not within(path, folder)} == {
        path: text for path, text in before.items() if not within(path, folder)
    }
    if folder:
        assert set(touched(before, after)) <= {folder}


@given(FILES, FILES)
def test_no_change_goes_without_leave(before, after):
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert {folder_of(path) for path in changed} == set(touched(before, after))
    assert (digest_of(before) == digest_of(after)) == (not changed)
    assert {each.path for each in file_changes(before, after)} == changed


@given(st.one_of(PATHS, st.text(alphabet="teamsx/.\\ \n", max_size=20).map(lambda text: f"{text}.cedar")))
def test_the_folder_that_is_asked_for_is_the_one_that_the_policies_count_in(path):
    place = place_of(path)
    if path_fault(path) is None and place is not None:
        assert folder_of(path) == (f"teams/{place.team}" if place.team is not None else place.tier)


def test_policies_are_compared_as_they_are_written():
    before = {
        "platform/a.cedar": '@id("a") permit (principal, action, resource == Tool::"gone/for-good");',
        "tests.json": "[]",
    }
    after = {
        "platform/b.cedar": before["platform/a.cedar"],
        "admin/r.cedar": '@id("r") permit (principal, action, resource);',
    }
    assert [(each.kind, each.id) for each in policy_changes(before, after)] == [("changed", "a")]
    assert policy_changes(before, before) == ()
