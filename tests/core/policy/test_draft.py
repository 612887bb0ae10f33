"""A drafted policy loads with the rest of the bundle, and its own tests pass."""

import pytest
from cedarpy import Schema

from gateway.core.policy.argtypes import arguments_of, schema_with
from gateway.core.policy.draft import Wish, draft
from gateway.core.policy.expectations import check, read_expectations, trees_of


@pytest.mark.parametrize(
    ("effect", "folder", "tool"),
    [
        ("permit", "teams/finance", "pay"),
        ("permit", "baseline", "read_balance"),
        ("forbid", "guardrails", "pay"),
        ("forbid", "platform", "list_entries"),
    ],
)
def test_it_loads_and_is_tested(kit, firm, effect, folder, tool):
    found = firm.servers["ledger"].tools[tool]
    wish = Wish(id="new", folder=folder, effect=effect, owner="corp|maria", team="finance", tool=found)
    made = draft(wish, firm)
    bundle = kit.loaded([*kit.shipped(), made.source], firm)
    assert bundle.warnings == ()
    (info,) = [each for each in bundle.policies if each.id == "new"]
    assert (info.owner, info.tier, info.effect) == ("corp|maria", folder.split("/")[0], effect)
    assert info.description
    trees = trees_of([made.source])
    schema = Schema.from_str(schema_with(kit.SCHEMA, arguments_of(firm)))
    tests = read_expectations(made.tests)
    assert [check(each, each.entities, trees, schema) for each in tests] == [None, None]
    assert [each.reason for each in tests].count(("new",)) == 1
