"""The tree of a chain: hops are joined by the digests of tokens, by nothing else."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.audit import DecisionRecord, Node, Record, RefusedRecord, forest, outcome_record
from gateway.core.model import Outcome
from gateway.core.reasons import Reason
from tests.store.samples import NOW, deny, hop, minted, permit, recorded

OK = Outcome(ok=True, reason=Reason.PERMITTED, status=200)


def step(id: str, agents: tuple[str, ...], parent: str | None = None, at: int = NOW) -> DecisionRecord:
    """A permit whose own token is named like the hop."""
    presented = None if parent is None else digest_of(parent)
    return recorded(permit(hop(id, agents, parent=presented, at=at)), minted(id))


def digest_of(id: str) -> str:
    kept = recorded(permit(hop(id)), minted(id)).minted
    assert kept is not None
    return kept.digest


def refused(id: str, parent: str | None, txn: str | None) -> RefusedRecord:
    presented = None if parent is None else digest_of(parent)
    return RefusedRecord(id=id, hop=id, at=NOW + 9, reason=Reason.CHAIN_HOLDER, parent=presented, txn=txn)


def shape(nodes: Sequence[Node]) -> list[Any]:
    return [(node.record.id, shape(node.children)) for node in nodes]


def test_a_chain_is_a_tree_of_who_continued_whose_token() -> None:
    records: list[Record] = [
        step("user", (), at=NOW),
        step("planner", ("planner",), "user", NOW + 10),
        step("ledger-2", ("planner", "analyst"), "planner", NOW + 30),
        step("ledger-1", ("planner", "analyst"), "planner", NOW + 20),
        outcome_record(hop("planner"), OK, 25),
    ]
    roots = forest(reversed(records))
    assert shape(roots) == [("user", [("planner", [("ledger-1", []), ("ledger-2", [])])])]
    (planner,) = roots[0].children
    assert planner.outcome is not None
    assert planner.outcome.duration_ms == 25
    assert not any(node.detached for node in (roots[0], planner))


def test_a_stolen_token_hangs_below_the_hop_that_it_was_minted_for() -> None:
    roots = forest([step("planner", ("planner",)), refused("thief", "planner", "txn-1")])
    assert shape(roots) == [("planner", [("thief", [])])]


def test_a_denial_minted_nothing_and_has_no_children() -> None:
    denied = recorded(deny(hop("no", ("planner",))))
    roots = forest([denied, step("next", ("planner", "analyst"), "no")])
    assert shape(roots) == [("next", []), ("no", [])]


def test_a_hop_whose_parent_is_not_there_is_detached_and_a_root_is_not() -> None:
    roots = forest([step("root", ("planner",)), step("lost", ("planner", "analyst"), "elsewhere")])
    assert {node.record.id: node.detached for node in roots} == {"root": False, "lost": True}
    (alone,) = forest([refused("r", None, None)])
    assert not alone.detached


def test_a_token_that_two_hops_shared_joins_the_latest_before() -> None:
    early, late = step("e", ("planner",)), step("l", ("planner",), at=NOW + 10)
    same = replace(late, minted=early.minted)
    roots = forest([early, same, step("child", ("planner", "analyst"), "e", NOW + 20)])
    assert shape(roots) == [("e", []), ("l", [("child", [])])]


def test_clocks_that_disagree_lose_no_hop() -> None:
    roots = forest([step("parent", ("planner",), at=NOW + 50), step("child", ("planner", "analyst"), "parent", NOW)])
    assert shape(roots) == [("parent", [("child", [])])]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 3), st.integers(0, 9)), max_size=12))
def test_every_hop_is_in_the_tree_once_even_if_records_lie(facts: list[tuple[int, int, int, int]]) -> None:
    records = [
        step(f"h{number}", tuple("abcdef"[:depth]), f"h{parent}", NOW + time)
        for number, (depth, parent, _, time) in enumerate(facts)
    ]
    assert sorted(_ids(forest(records))) == sorted(record.id for record in records)


def _ids(nodes: Sequence[Node]) -> list[str]:
    return [id for node in nodes for id in (node.record.id, *_ids(node.children))]


def test_an_exchange_stands_between_the_delegation_and_the_hops_made_with_its_token() -> None:
    asked, chain = ("planner",), ("planner", "analyst")
    records = [
        step("planner", asked, at=NOW),
        replace(step("exchange", chain, "planner", NOW + 10), protocol="oauth", action="exchangeToken"),
        replace(step("renewal", chain, "exchange", NOW + 20), protocol="oauth", action="exchangeToken"),
        step("call", chain, "exchange", NOW + 15),
        step("later", chain, "renewal", NOW + 30),
        step("by-header", chain, "planner", NOW + 40),
    ]
    expected = [
        ("planner", [("exchange", [("call", []), ("renewal", [("later", [])])]), ("by-header", [])]),
    ]
    for order in (records, records[::-1]):
        roots = forest(order)
        assert shape(roots) == expected
        assert not any(node.detached for node in roots[0].children)
