"""A slice holds exactly the policies whose scope takes a call in; its schema only the called tool's arguments."""

import pytest

from gateway.core.model import Uid
from gateway.core.policy.case import Case, case_of
from gateway.core.policy.decide import decide

ACTION = 'action == Action::"invokeTool"'


@pytest.mark.parametrize(
    ("scope", "taken"),
    [
        (f"principal is Agent, {ACTION}, resource is Tool", True),
        (f'principal in Group::"finance-agents", {ACTION}, resource', True),
        (f'principal in Team::"platform", {ACTION}, resource', False),
        (f'principal is Agent in AgentClass::"data-analyst", {ACTION}, resource', True),
        (f'principal == Agent::"auditor", {ACTION}, resource', False),
        (f"principal is User, {ACTION}, resource", False),
        (f'principal, {ACTION}, resource in Team::"finance"', True),
        (f'principal, {ACTION}, resource in McpServer::"reports"', False),
        (f'principal, {ACTION}, resource is Tool in ToolSet::"finance-readonly"', True),
        (f'principal, {ACTION}, resource == Tool::"ledger/pay"', False),
        ('principal, action in [Action::"delegate", Action::"invokeTool"], resource', True),
        ('principal, action in Action::"write", resource is Tool', True),
        ('principal, action == Action::"delegate", resource', False),
    ],
)
def test_a_policy_is_in_the_slice_iff_its_scope_takes_the_call_in(kit, firm, scope, taken):
    bundle = kit.loaded(kit.files(f'@id("p") permit ({scope});'), firm)
    case = case_of(kit.hop(), bundle, firm)
    assert isinstance(case, Case)
    assert bundle.cuts.enforced.of(case.facts).size == taken
    assert (type(decide(kit.hop(), bundle, firm, 1)).__name__ == "Permit") is taken


def test_callers_of_one_tool_have_slices_of_their_own(kit, firm):
    text = f'@id("p") permit (principal in Group::"finance-agents", {ACTION}, resource is Tool);'
    bundle = kit.loaded(kit.files(text), firm)
    kinds = [type(decide(kit.hop(who), bundle, firm, 1)).__name__ for who in ("analyst", "auditor") * 2]
    assert kinds == ["Permit", "Deny"] * 2
    assert sorted(bundle.cuts.enforced.sizes()) == [0, 1]


def test_calls_that_the_same_policies_speak_of_share_a_slice(kit, firm):
    bundle = kit.loaded(kit.files(f'@id("p") permit (principal is Agent, {ACTION}, resource is Tool);'), firm)
    for who in ("analyst", "auditor"):
        decide(kit.hop(who), bundle, firm, 1)
    assert bundle.cuts.enforced.sizes() == (1,)


def test_an_absent_owner_matters_to_those_calls_only_whose_policies_ask_for_it(kit):
    firm = kit.registry_of(
        agents=[kit.agent("analyst", owner="corp|gone")],
        servers=[kit.server("ledger", "finance", [kit.tool("ledger", "a"), kit.tool("ledger", "b")])],
    )
    asks = 'forbid (principal is Agent, action == Action::"invokeTool", resource == Tool::"ledger/a")'
    texts = [
        f'@id("p") permit (principal, {ACTION}, resource);',
        f'@id("f") {asks} when {{ principal.owner has email }};',
    ]
    bundle = kit.loaded(kit.files(*texts), firm)
    reasons = [
        getattr(decide(kit.hop(resource=Uid("Tool", f"ledger/{name}")), bundle, firm, 1), "reason", "permitted")
        for name in "abab"
    ]
    assert reasons == ["policy_error", "permitted"] * 2


def test_a_request_has_the_schema_of_its_own_tool(kit, firm):
    text = "forbid (principal is Agent, action, resource is Tool) when { context has args.ledger.pay };"
    text = text.replace("action,", f"{ACTION},")
    schemas = kit.loaded(kit.files(f'@id("p") {text}'), firm).schemas
    own = schemas.of({"ledger": {"pay": {"amount": 1}}})
    assert own is schemas.of({"ledger": {"pay": {}}}) is not schemas.of({"ledger": {}})
    assert schemas.of(None) is schemas.of({}) is schemas.bare
    assert len({own.digest, schemas.bare.digest, schemas.of({"ledger": {}}).digest}) == 3
