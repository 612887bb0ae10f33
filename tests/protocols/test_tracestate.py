"""The ``hopgate`` member of ``tracestate``: found wherever it is, gone when stripped, in front when put in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace.span import TraceState

from gateway.protocols.tracestate import MOST_CHARS, MOST_MEMBERS, handles, stripped, with_handle

HANDLE = "0123456789abcdef0123456789abcdef"
MEMBERS = st.from_regex(r"[a-z][a-z0-9_]{0,8}=[!-+\--<>-~]{1,200}", fullmatch=True)
STATES = st.lists(MEMBERS, max_size=40).map(",".join)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], set()),
        ([""], set()),
        (["vendor=1"], set()),
        ([f"hopgate={HANDLE}"], {HANDLE}),
        ([f"a=1, hopgate={HANDLE}\t,b=2"], {HANDLE}),
        (["hopgate=x,hopgate=y"], {"x", "y"}),
        (["hopgate=x", "hopgate=y"], {"x", "y"}),
        (["hopgate=x", "hopgate=x"], {"x"}),
        (["hopgate="], {""}),
        (["hopgate"], {""}),
        (["hopgate =x"], {"x"}),
        (["HOPGATE=x,xhopgate=y,hopgate@t=z,t@hopgate=z,hopgates=w"], set()),
        (["a=hopgate=x"], set()),
    ],
)
def test_every_handle_is_found_and_stripped(texts: list[str], found: set[str]) -> None:
    assert handles(texts) == found
    assert handles(map(stripped, texts)) == set()


@given(STATES)
def test_others_stay_as_they_are(state: str) -> None:
    others = [member for member in state.split(",") if not member.startswith("hopgate=")]
    assert stripped(f"hopgate=x,{state}").split(",") == (others if state else [""])


@given(STATES)
def test_a_handle_goes_in_front_within_the_limits(state: str) -> None:
    made = with_handle(state, HANDLE)
    assert handles([made]) == {HANDLE}
    members = made.split(",")
    assert members[0] == f"hopgate={HANDLE}"
    assert len(members) <= MOST_MEMBERS
    assert len(made) <= MOST_CHARS
    kept = iter(state.split(","))
    assert all(member in kept for member in members[1:]), "in their order"


@given(st.text(max_size=80))
def test_any_text_is_taken(text: str) -> None:
    assert handles([stripped(text)]) == set()
    assert handles([with_handle(text, HANDLE)]) == {HANDLE}


@given(st.lists(MEMBERS, max_size=40, unique_by=lambda member: member.split("=")[0]).map(",".join))
def test_a_stock_reader_understands_it(state: str) -> None:
    assert TraceState.from_header([with_handle(state, HANDLE)]).get("hopgate") == HANDLE


def test_long_members_go_first() -> None:
    long, short = f"long={'x' * 400}", f"short={'y' * 100}"
    assert with_handle(f"{long},{short}", HANDLE) == f"hopgate={HANDLE},{short}"
    assert with_handle(long, HANDLE) == f"hopgate={HANDLE},{long}", "where there is room it stays"
