"""Facts of a hop, read by path; and what is missing from them."""

import pytest
from cedarpy import policies_to_pst

from gateway.core.model import Uid
from gateway.core.policy.entities import World, registered
from gateway.core.policy.facts import Facts, Undecided, caller, gather, missing, using
from gateway.core.policy.footprint import footprint
from gateway.core.policy.values import Instant


def facts(kit, registry, **changes):
    found = gather(kit.hop(**changes), registry, World(registered(registry)), {})
    assert isinstance(found, Facts)
    return found


def reading(text):
    policy = policies_to_pst(f"permit (principal, action, resource) when {{ {text} }};").static_policies["policy0"]
    return footprint(policy)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("principal", Uid("Agent", "analyst")),
        ("action", Uid("Action", "invokeTool")),
        ("principal.owner", Uid("User", "corp|maria")),
        ("principal.owner.email", "maria@example.test"),
        ('Agent::"planner".team', Uid("Team", "platform")),
        ("context.now", Instant(1_795_000_000_123)),
        ("context.approved", False),
        ("context.args.ledger", None),
        ("context.user.nothing", None),
        ("principal.risk.x", None),
    ],
)
def test_values_by_path(kit, firm, text, value):
    node = reading(f"{text} == {text}").nodes[0]
    assert facts(kit, firm).value(node.expr) == value


def test_only_entities_that_are_looked_into_can_be_missing(kit, firm):
    found = facts(kit, firm)
    assert missing(found, reading('principal.owner in Group::"g"').dereferenced) is None
    assert missing(found, reading("context.now == context.now").dereferenced) is None
    absent = missing(found, reading('Agent::"nobody" in Group::"g"').dereferenced)
    assert absent == '`Agent::"nobody"` is Agent::"nobody", which is not registered'


def test_a_listing_speaks_of_a_tool_without_arguments(kit, firm):
    asked = caller(kit.hop("analyst", "listTools", Uid("McpServer", "ledger")), firm, World(registered(firm)))
    call = using(asked, asked.world.get(Uid("Tool", "ledger/pay")))
    assert (call.action, call.resource) == ("invokeTool", Uid("Tool", "ledger/pay"))
    assert "args" not in call.context


def test_refusals_are_values(kit, firm):
    found = gather(kit.hop("nobody", chain=()), firm, World(registered(firm)), {})
    assert found == Undecided("agent_unregistered", "the caller is not registered")


def test_chains_and_scopes_are_sets(kit, firm):
    found = facts(kit, firm, chain=("planner", "analyst", "planner", "analyst"))
    assert found.context["chain"] == (Uid("Agent", "planner"), Uid("Agent", "analyst"))
    assert found.context["delegation_depth"] == 4
    person = facts(kit, firm, who=None, action="delegate", resource=Uid("Agent", "planner"))
    assert (person.context["delegation_depth"], person.context["chain_max_risk"], person.context["chain"]) == (0, 0, ())
