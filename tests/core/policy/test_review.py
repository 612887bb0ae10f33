"""Reviews: what the records say of each policy, and that forbids are never called unused."""

from gateway.core.policy.review import DAY_MS, Used, reviewed
from gateway.core.policy.staged_rules import revision

NOW = 100 * DAY_MS
READ = '@id("read") permit (principal is Agent, action == Action::"invokeTool", resource is Tool);'
TALK = '@id("talk") permit (principal is Agent, action == Action::"delegate", resource is Agent);'
USERS = '@id("users") permit (principal is User, action == Action::"delegate", resource is Agent);'
LOOPS = '@id("loops") forbid (principal, action == Action::"delegate", resource) when { context.reentry };'


def review(kit, firm, determined, asked, since):
    bundle = kit.loaded(kit.files(READ, TALK, USERS, LOOPS), firm)
    seen = {(rule.id, revision(rule.statement.text)): since for rule in bundle.rules.values()}
    return {one.policy: one for one in reviewed(bundle, Used(determined, asked, seen), NOW, 30)}


def test_findings(kit, firm):
    asked = {("invokeTool", "Tool", True): NOW - 5, ("delegate", "Agent", True): NOW - 7}
    found = review(kit, firm, {"read": (NOW - 5, 3), "talk": (NOW - 50 * DAY_MS, 0)}, asked, NOW - 60 * DAY_MS)
    assert {name: one.finding for name, one in found.items()} == {
        "read": "in use",
        "talk": "unused",
        "users": "never evaluated",
        "loops": "rarely hit",
    }
    assert (found["talk"].evaluated, found["users"].evaluated) == (NOW - 7, None)
    assert (found["talk"].determined, found["talk"].determined_as_is) == (NOW - 50 * DAY_MS, NOW - 50 * DAY_MS)


def test_an_edited_policy_is_not_unused_yet(kit, firm):
    found = review(kit, firm, {"talk": (NOW - 50 * DAY_MS, 0)}, {}, NOW - DAY_MS)
    assert {one.finding for one in found.values()} == {"recently edited"}
    assert (found["talk"].determined, found["talk"].determined_as_is) == (NOW - 50 * DAY_MS, None)


def test_what_derives_from_a_policy_evaluates_it(kit, firm):
    found = review(kit, firm, {}, {("discover", "McpServer", True): 9, ("discover", "Agent", True): 8}, 1)
    assert (found["read"].evaluated, found["talk"].evaluated) == (9, 8)
