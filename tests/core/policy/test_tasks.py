"""Tasks of MCP servers: within the tool that made them, and as permitted as its call, unless a policy says more."""

import pytest
from msgspec import structs

from gateway.core import scope
from gateway.core.model import Deny, Permit, Uid
from gateway.core.policy.decide import decide

TASK, OTHERS = Uid("McpTask", "ledger/t-1"), Uid("McpTask", "ledger/t-2")
READ, PAY = Uid("Tool", "ledger/read_balance"), Uid("Tool", "ledger/pay")
ACTIONS = ("getTask", "updateTask", "cancelTask")
CALL = '@id("read") permit (principal, action == Action::"invokeTool", resource == Tool::"ledger/read_balance");'


def verdict(kit, registry, policy, action, origin=READ, resource=TASK):
    hop = kit.hop("analyst", action, resource)
    origins = {} if origin is None else {TASK: origin}
    hop = structs.replace(hop, call=structs.replace(hop.call, origins=origins))
    return decide(hop, kit.loaded(kit.files(policy), registry), registry, 1)


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_call_the_tool_may_follow_its_tasks(kit, firm, action):
    found = verdict(kit, firm, CALL, action)
    assert isinstance(found, Permit)
    assert [policy.id for policy in found.policies] == ["read"]
    assert verdict(kit, firm, CALL, action, PAY).reason == "no_permit"


@pytest.mark.parametrize("action", ACTIONS)
def test_a_task_of_unknown_making_or_of_a_tool_that_is_gone_is_nobodys(kit, firm, action):
    anything = '@id("any") permit (principal, action, resource);'
    assert isinstance(verdict(kit, firm, anything, action), Permit)
    assert verdict(kit, firm, anything, action, None).reason == "no_permit"
    assert verdict(kit, firm, anything, action, Uid("Tool", "ledger/gone")).reason == "tool_unknown"
    assert verdict(kit, firm, anything, action, resource=OTHERS).reason == "no_permit"


@pytest.mark.parametrize(
    "scope",
    ['resource in Tool::"ledger/read_balance"', 'resource in McpServer::"ledger"', 'resource in Team::"finance"'],
)
def test_a_forbid_may_name_tasks_by_what_they_are_in(kit, firm, scope):
    peeking = f'@id("no") forbid (principal, action == Action::"getTask", {scope});'
    found = verdict(kit, firm, CALL + peeking, "getTask")
    assert isinstance(found, Deny)
    assert [policy.id for policy in found.policies] == ["no"]
    assert isinstance(verdict(kit, firm, CALL + peeking, "cancelTask"), Permit)


def test_a_tool_that_is_kept_off_lists_keeps_its_tasks(kit, firm):
    hidden = '@id("hidden") forbid (principal, action == Action::"listTools", resource == Tool::"ledger/read_balance");'
    assert isinstance(verdict(kit, firm, CALL + hidden, "getTask"), Permit)


def test_arguments_of_the_call_are_not_asked_again(kit, firm):
    paid = """@id("pay") permit (principal, action == Action::"invokeTool", resource == Tool::"ledger/pay")
    when { context has args.ledger.pay && context.args.ledger.pay.amount < 10 };"""
    assert isinstance(verdict(kit, firm, paid, "getTask", PAY), Permit)


def test_a_task_needs_what_its_tool_needs(kit, firm):
    for action in ACTIONS:
        call = structs.replace(kit.hop("analyst", action, TASK).call, origins={TASK: READ})
        assert scope.needed(call, firm) == frozenset(firm.tool("ledger", "read_balance").scopes) != frozenset()
    listening = structs.replace(
        kit.hop("analyst", "subscribe", Uid("McpServer", "ledger")).call,
        also=(("getTask", TASK),),
        origins={TASK: READ},
    )
    assert scope.needed(listening, firm) == frozenset(firm.tool("ledger", "read_balance").scopes)
