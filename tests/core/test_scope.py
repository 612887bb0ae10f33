"""Scopes: all that a call needs or nothing, and step-up only where it helps."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core import scope
from gateway.core.errors import HopError
from gateway.core.model import Call, Chain, RootToken, Route, SpiffeId, Uid, User
from gateway.core.reasons import Reason
from gateway.core.registry import Agent, Prompts, Registry, Resources, Server, Tool, Upstream

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
NEEDS = scope.needed(PAY, FACTS)


def test_a_call_gets_exactly_what_its_tool_declares() -> None:
    assert scope.narrow(NEEDS, chain("ledger/pay", "ledger/write", "other")) == {"ledger/pay", "ledger/write"}


def test_a_ceiling_without_all_of_it_refuses_the_whole() -> None:
    with pytest.raises(HopError, match="ledger/write") as caught:
        scope.narrow(NEEDS, chain("ledger/pay"))
    assert caught.value.reason is Reason.SCOPE_CEILING


@pytest.mark.parametrize("action", ["discover", "listTools", "notify"])
def test_opening_and_listing_need_none(action: str) -> None:
    assert scope.needed(call(action, Uid("McpServer", "ledger")), FACTS) == frozenset()


def test_delegation_needs_the_agents_delegate_scope() -> None:
    assert scope.needed(call("delegate", Uid("Agent", "b")), FACTS) == {"b/delegate"}


def test_servers_get_no_ceiling() -> None:
    assert scope.downstream_ceiling(PAY, chain("ledger/pay", "ledger/write"), FACTS) == frozenset()


SOURCES = {
    "ledger/read": frozenset({"read", "all"}),
    "ledger/pay": frozenset({"pay", "all"}),
    "ledger/write": frozenset({"write", "all"}),
}


@pytest.mark.parametrize(
    ("wanted", "token", "named"),
    [
        ({"ledger/pay"}, root(), {"pay"}),
        ({"ledger/pay", "ledger/write"}, root(), {"pay", "write"}),
        ({"ledger/pay", "ledger/read"}, root("ledger/read"), {"pay", "read"}),
        ({"ledger/pay", "given"}, root("given"), {"pay"}),
    ],
    ids=["one", "two", "also what the token has", "also what every token has"],
)
def test_step_up_names_the_issuers_scopes_of_all_that_is_needed(
    wanted: set[str], token: RootToken, named: set[str]
) -> None:
    assert scope.step_up(frozenset(wanted), token, frozenset(wanted), SOURCES) == named


@pytest.mark.parametrize(
    ("wanted", "token", "granted"),
    [
        (frozenset({"unknown"}), root(), frozenset({"unknown"})),
        (frozenset({"ledger/pay"}), root(), frozenset()),
        (frozenset({"ledger/pay"}), root("ledger/pay"), frozenset({"ledger/read"})),
        (frozenset({"ledger/pay", "ledger/read"}), root("ledger/read"), frozenset({"ledger/pay"})),
        (frozenset({"ledger/pay", "unknown"}), root(), frozenset({"ledger/pay", "unknown"})),
    ],
    ids=["nobody issues it", "not granted", "had already", "had already, and another lacks", "one of two"],
)
def test_no_step_up_where_no_scope_cures(wanted: frozenset[str], token: RootToken, granted: frozenset[str]) -> None:
    assert scope.step_up(wanted, token, granted, SOURCES) == frozenset()


names = st.sampled_from(["a", "b", "c", "d", "e"])


@given(st.frozensets(names), st.dictionaries(names, st.frozensets(st.sampled_from(["w", "x", "y", "z"]), max_size=4)))
def test_issuer_scopes_cover_all_that_any_yields_and_none_is_idle(
    wanted: frozenset[str], sources: dict[str, frozenset[str]]
) -> None:
    chosen = scope.covering(wanted, sources)
    had = {each for each in wanted if sources.get(each)}
    assert all(sources[each] & chosen for each in had)
    for name in chosen:
        assert any(not sources[each] & (chosen - {name}) for each in had), f"{name} adds nothing"
    assert chosen <= scope.useful(wanted, [sources])


AGENT = Agent(
    name="b", spiffe_id=SpiffeId("spiffe://t/b"), owner="o", team="t", purpose="p", risk_level="low", environment="dev",
    scopes=("ledger/pay", "ledger/read"), needs={"delegate": ("b/ask",), "createPushConfig": ("b/hooks",)},
    ceiling=("ledger/read", "other"),
)  # fmt: skip
DECLARING = replace(
    FACTS,
    agents={"b": AGENT},
    servers={
        "ledger": replace(
            FACTS.servers["ledger"],
            needs={
                "readResource": ("ledger/docs",),
                "complete": ("ledger/guess",),
                "listTools": ("ledger/see",),
                "getTask": ("ledger/tasks",),
            },
            resources={
                "file:///*": Resources(server="ledger", pattern="file:///*", scopes=("files",)),
                "file:///keys/*": Resources(server="ledger", pattern="file:///keys/*", scopes=("keys",)),
            },
            prompts={"audit*": Prompts(server="ledger", pattern="audit*", scopes=("audits",))},
        )
    },
)


@pytest.mark.parametrize(
    ("action", "resource", "needs"),
    [
        ("delegate", Uid("Agent", "b"), {"b/ask"}),
        ("getTask", Uid("Agent", "b"), {"b/delegate"}),
        ("delegate", Uid("Agent", "unheard-of"), {"unheard-of/delegate"}),
        ("readResource", Uid("McpResource", "ledger/file:///a"), {"files"}),
        ("readResource", Uid("McpResource", "ledger/file:///keys/a"), {"files", "keys"}),
        ("readResource", Uid("McpResource", "ledger/db://a"), {"ledger/docs"}),
        ("readResource", Uid("McpResource", "other/db://a"), {"other/resources/read"}),
        ("complete", Uid("McpResource", "ledger/file:///a"), {"files"}),
        ("complete", Uid("McpResource", "ledger/db://a"), {"ledger/guess"}),
        ("complete", Uid("Prompt", "ledger/summary"), {"ledger/guess"}),
        ("getPrompt", Uid("Prompt", "ledger/audit-2026"), {"audits"}),
        ("getPrompt", Uid("Prompt", "ledger/summary"), {"ledger/prompts/get"}),
        ("listTools", Uid("McpServer", "ledger"), {"ledger/see"}),
        ("discover", Uid("McpServer", "ledger"), set()),
        ("getTask", Uid("McpTask", "ledger/t1"), {"ledger/tasks"}),
        ("getTask", Uid("McpTask", "other/t1"), set()),
        ("invokeTool", Uid("Tool", "ledger/unheard-of"), set()),
    ],
)
def test_operations_need_what_is_declared_else_the_default(action: str, resource: Uid, needs: set[str]) -> None:
    assert scope.needed(call(action, resource), DECLARING) == needs


def test_all_parts_of_a_call_and_what_is_done_beside_it_are_needed() -> None:
    also = (("readResource", Uid("McpResource", "ledger/file:///a")), ("getPrompt", Uid("Prompt", "ledger/summary")))
    assert scope.needed(replace(PAY, also=also), DECLARING) == {*NEEDS, "files", "ledger/prompts/get"}
    assert scope.needed(replace(call("delegate", AGENT.uid), also=(("createPushConfig", AGENT.uid),)), DECLARING) == {
        "b/ask",
        "b/hooks",
    }


@pytest.mark.parametrize(
    ("header", "left"),
    [(None, {"ledger/read"}), ("ledger/read ledger/pay x", {"ledger/read"}), ("ledger/pay", set()), ("", set())],
)
def test_a_delegate_gets_what_it_was_granted_what_it_takes_and_what_it_is_left(
    header: str | None, left: set[str]
) -> None:
    held = chain("ledger/pay", "ledger/read", "other", "x")
    asked = scope.requested(header)
    assert scope.downstream_ceiling(call("delegate", AGENT.uid), held, DECLARING, asked) == left


@pytest.mark.parametrize("header", ['a"b', "a\\b", "a\tb", "é"])
def test_a_request_that_is_no_list_of_scopes_is_refused(header: str) -> None:
    with pytest.raises(HopError) as caught:
        scope.requested(header)
    assert caught.value.reason is Reason.MESSAGE_INVALID


@given(st.text(max_size=20), st.frozensets(st.sampled_from(["ledger/read", "ledger/pay", "other"])))
def test_no_request_widens(header: str, ceiling: frozenset[str]) -> None:
    held, ask = chain(*ceiling), call("delegate", AGENT.uid)
    try:
        asked = scope.requested(header)
    except HopError:
        return
    whole = scope.downstream_ceiling(ask, held, DECLARING)
    assert scope.downstream_ceiling(ask, held, DECLARING, asked) <= whole <= ceiling


def test_a_route_s_scopes_are_those_of_its_calls_and_the_first_those_of_reading() -> None:
    every, first = scope.of_route("ledger", "mcp", DECLARING)
    assert every == {
        *NEEDS, "ledger/docs", "ledger/guess", "ledger/see", "ledger/tasks", "files", "keys", "audits",
        "ledger/resources/read", "ledger/prompts/get",
    }  # fmt: skip
    assert first == {"ledger/see"}
    looking = replace(TOOL, name="look", read_only=True, scopes=("ledger/look",))
    server = replace(DECLARING.servers["ledger"], tools={"pay": TOOL, "look": looking})
    assert scope.of_route("ledger", "mcp", replace(DECLARING, servers={"ledger": server}))[1] == {
        "ledger/see", "ledger/look",
    }  # fmt: skip
    assert scope.of_route("b", "a2a", DECLARING) == ({"b/ask", "b/hooks", "b/delegate"}, {"b/ask"})


@given(st.frozensets(st.sampled_from(["ledger/pay", "ledger/write", "x", "y"])))
def test_never_more_than_the_ceiling(ceiling: frozenset[str]) -> None:
    try:
        granted = scope.narrow(NEEDS, chain(*ceiling))
    except HopError:
        assert not frozenset(TOOL.scopes) <= ceiling
    else:
        assert granted <= ceiling


def test_of_what_a_server_needs_the_operation_that_uses_it_is_the_last_word() -> None:
    """Completing a resource's URI needs what reading does, where neither the entry nor completing says anything."""
    server = replace(DECLARING.servers["ledger"], needs={"readResource": ("docs",), "getPrompt": ("ask",)})
    known = replace(DECLARING, servers={"ledger": server})
    assert scope.needed(call("complete", Uid("McpResource", "ledger/db://a")), known) == {"docs"}
    assert scope.needed(call("complete", Uid("Prompt", "ledger/summary")), known) == {"ask"}


def test_of_two_issuer_scopes_the_one_that_yields_less_besides_is_named() -> None:
    sources = {
        "a": frozenset({"narrow", "broad"}),
        "b": frozenset({"other", "broad"}),
        "x": frozenset({"broad"}),
        "y": frozenset({"broad"}),
    }
    assert scope.covering(frozenset({"a"}), sources) == {"narrow"}
    assert scope.covering(frozenset({"a", "b"}), sources) == {"narrow", "other"}
    assert scope.covering(frozenset({"a", "x"}), sources) == {"broad"}


def test_a_header_that_is_no_list_is_named() -> None:
    with pytest.raises(HopError) as caught:
        scope.requested("é")
    assert caught.value.detail == "header hopgate-del-scope is not a space-separated list of scopes"
    assert scope.requested("! ~ [") == {"!", "~", "["}


def test_all_that_a_chain_lacks_is_named() -> None:
    with pytest.raises(HopError) as caught:
        scope.narrow(frozenset({"b", "a", "c"}), chain("c"))
    assert caught.value.detail == "the chain lacks scope a b"


class TestServed:
    def test_a_server_s_are_those_of_its_calls(self) -> None:
        mcp = Route("mcp", "ledger", "/mcp/ledger", "r", "a")
        assert scope.served(mcp, DECLARING) == scope.of_route("ledger", "mcp", DECLARING)[0]

    def test_an_agent_goes_on_with_all_that_it_was_granted(self) -> None:
        a2a = Route("a2a", "b", "/a2a/b", "r", "a")
        assert scope.served(a2a, DECLARING) == {"b/ask", "b/hooks", "b/delegate", "ledger/pay", "ledger/read"}

    @pytest.mark.parametrize(("protocol", "name"), [("mcp", "b"), ("a2a", "ledger"), ("mcp", "gone"), ("a2a", "gone")])
    def test_what_is_not_registered_serves_none(self, protocol: Any, name: str) -> None:
        assert scope.served(Route(protocol, name, "/", "r", "a"), DECLARING) == frozenset()


def test_a_client_begins_with_opening_listing_and_looking() -> None:
    actions = ("discover", "listTools", "listResources", "listPrompts")
    needs = {action: (f"ledger/{action}",) for action in (*actions, "complete")}
    known = replace(DECLARING, servers={"ledger": replace(DECLARING.servers["ledger"], needs=needs)})
    assert scope.of_route("ledger", "mcp", known)[1] == {f"ledger/{action}" for action in actions}


def test_a_task_of_a_tool_needs_what_the_tool_does() -> None:
    task = Uid("McpTask", "ledger/t1")
    ask = replace(call("getTask", task), origins={task: TOOL.uid})
    assert scope.needed(ask, DECLARING) == NEEDS


def test_what_is_named_like_an_agent_is_none() -> None:
    ask = call("invokeTool", Uid("Tool", "b"))
    assert scope.downstream_ceiling(ask, chain("ledger/read"), DECLARING) == frozenset()
