"""Strict validation, and permits that speak of agents without saying so."""

import pytest

from gateway.core.model import Deny, Permit, Uid
from gateway.core.policy.bundle import Bundle, compile_bundle
from gateway.core.policy.decide import decide

PERMIT = '@id("p") permit (principal, action == Action::"invokeTool", resource) when { principal.risk_level == "low" };'


def test_a_permit_that_only_fits_agents_is_read_as_one_for_agents(kit, firm):
    bundle = kit.loaded(kit.files(PERMIT), firm)
    assert isinstance(decide(kit.hop("analyst"), bundle, firm, 1), Permit)
    person = decide(kit.hop(None), bundle, firm, 1)
    assert isinstance(person, Deny)
    assert person.reason == "no_permit"


def test_a_forbid_that_only_fits_agents_has_to_say_so(kit, firm):
    text = PERMIT.replace("permit", "forbid")
    (problem,) = compile_bundle(kit.files(text), kit.SCHEMA, firm)
    assert "say `principal is Agent`" in problem.message
    assert isinstance(
        compile_bundle(kit.files(text.replace("principal,", "principal is Agent,")), kit.SCHEMA, firm), Bundle
    )


@pytest.mark.parametrize(
    "condition",
    [
        "principal.risk_level == 1",
        "principal.risk_level",
        "context.args.ledger.pay.amount > 1",
        'context.user in Group::"finance-leads"',
        'principal.getTag("x") == "y"',
        'principal.owner.email == "x"',
        'resource.nothing == "x"',
        "ip(principal.purpose).isLoopback()",
    ],
)
def test_what_could_err_is_refused(kit, firm, condition):
    text = f'@id("p") forbid (principal is Agent, action == Action::"invokeTool", resource) when {{ {condition} }};'
    found = compile_bundle(kit.files(text), kit.SCHEMA, firm)
    assert isinstance(found, tuple)
    assert {problem.policy for problem in found} == {"p"}


def test_the_schema_lets_every_action_be_named(kit, firm):
    bundle = kit.loaded([], firm)
    names = sorted(uid.id for uid in bundle.world.registered if uid.type == "Action")
    groups = {"mcp", "a2a", "read", "write", "kernel"}
    assert groups < set(names)
    for name in names:
        ancestors = {uid.id for uid in bundle.world.ancestors(Uid("Action", name))} - {name}
        assert ancestors <= groups
        assert name in groups or ancestors & {"mcp", "a2a", "kernel"}
        if "kernel" not in ancestors and name not in groups:
            assert len(ancestors & {"read", "write"}) <= 1
