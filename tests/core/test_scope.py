"""Scopes: all that a call needs or nothing, and step-up only where it helps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import scope
from gateway.core.errors import HopError
from gateway.core.model import Call, Chain, RootToken, SpiffeId, Uid, User
from gateway.core.reasons import Reason
from gateway.core.registry import Registry, Server, Tool, Upstream

TOOL = Tool(server="ledger", name="pay", risk_level="low", environment="dev", scopes=("ledger/pay", "ledger/write"))
FACTS = Registry(
    people={},
    agents={},
    servers={
        "ledger": Server(
            name="ledger", team="t", environment="dev", upstream=Upstream("http://127.0.0.1", None), tools={"pay": TOOL}
        )
    },
    models={},
    teams=frozenset(),
    by_spiffe_id={},
    by_audience={},
)


def call(action: str, resource: Uid) -> Call:
    return Call(protocol="mcp", version="v", method="m", action=action, resource=resource, message={})


def chain(*ceiling: str) -> Chain:
    return Chain("s", (SpiffeId("spiffe://t/a"),), ("a",), "t", 0, 4, frozenset(ceiling))


def root(*scopes: str) -> RootToken:
    return RootToken(User("i", "corp", "m"), "cli", frozenset(scopes), 0, "d")


PAY = call("invokeTool", TOOL.uid)


def test_a_call_gets_exactly_what_its_tool_declares() -> None:
    assert scope.narrow(PAY, chain("ledger/pay", "ledger/write", "other"), FACTS) == {"ledger/pay", "ledger/write"}


def test_a_ceiling_without_all_of_it_refuses_the_whole() -> None:
    with pytest.raises(HopError, match="ledger/write") as caught:
        scope.narrow(PAY, chain("ledger/pay"), FACTS)
    assert caught.value.reason is Reason.SCOPE_CEILING


@pytest.mark.parametrize("action", ["discover", "listTools", "notify"])
def test_opening_and_listing_need_none(action: str) -> None:
    assert scope.narrow(call(action, Uid("McpServer", "ledger")), chain(), FACTS) == frozenset()


def test_delegation_needs_the_agents_delegate_scope() -> None:
    assert scope.needed(call("delegate", Uid("Agent", "b")), FACTS) == {"b/delegate"}


def test_servers_get_no_ceiling() -> None:
    assert scope.downstream_ceiling(PAY, chain("ledger/pay", "ledger/write"), FACTS) == frozenset()


SOURCES = {"ledger/pay": frozenset({"pay"}), "ledger/write": frozenset({"write", "all"})}


def test_step_up_names_the_issuers_scopes() -> None:
    missing = frozenset({"ledger/pay", "ledger/write"})
    assert scope.curable(missing, root(), missing, SOURCES) == {"pay", "all"}


@pytest.mark.parametrize(
    ("missing", "token", "granted"),
    [
        (frozenset({"unknown"}), root(), frozenset({"unknown"})),
        (frozenset({"ledger/pay"}), root(), frozenset()),
        (frozenset({"ledger/pay"}), root("ledger/pay"), frozenset({"ledger/pay"})),
    ],
)
def test_no_step_up_where_no_scope_cures(missing: frozenset[str], token: RootToken, granted: frozenset[str]) -> None:
    assert scope.curable(missing, token, granted, SOURCES) == frozenset()


@given(st.frozensets(st.sampled_from(["ledger/pay", "ledger/write", "x", "y"])))
def test_never_more_than_the_ceiling(ceiling: frozenset[str]) -> None:
    try:
        granted = scope.narrow(PAY, chain(*ceiling), FACTS)
    except HopError:
        assert not frozenset(TOOL.scopes) <= ceiling
    else:
        assert granted <= ceiling
