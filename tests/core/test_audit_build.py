"""What a record keeps of a hop, what it only digests, and what it never holds."""

import hmac
import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.audit import (
    Attempt,
    DecisionRecord,
    Workload,
    decision_record,
    decode,
    digest,
    encode,
    outcome_record,
    refused_record,
    token_digest,
)
from gateway.core.model import Ask, HopToken, Match, Outcome, Permit, RootToken, Uid
from gateway.core.reasons import Reason
from tests.store.samples import (
    KEY,
    LEDGER,
    MARIA,
    NOW,
    deny,
    hop,
    minted,
    peer,
    permit,
    policy,
    recorded,
    registry,
    spiffe,
)

RECORDING = replace(LEDGER, record_arguments=True)


def test_a_permit_names_everyone_who_answers_for_it() -> None:
    record = recorded(permit(hop("h1", ("planner", "analyst"), parent="p")), minted("t1"))
    assert (record.verdict, record.reason) == ("permit", Reason.PERMITTED)
    assert record.agent == Workload(
        spiffe_id=spiffe("analyst"),
        x5t="x5t-analyst",
        name="analyst",
        owner="corp|maria",
        owner_name="Maria López",
        team="finance",
    )
    assert (record.user, record.resource, record.bundle, record.generation) == (
        "corp|maria",
        Uid("Tool", "ledger/read_balance"),
        "bundle-digest",
        3,
    )
    assert (record.chain.depth, record.chain.agents, record.chain.root) == (2, ("planner", "analyst"), False)


def test_a_permit_names_the_policy_and_the_values_that_made_it_match() -> None:
    matches = (
        Match('principal in Group::"finance-agents"', True),
        Match("principal.capabilities", frozenset({"b", "a"})),
        Match("context.args.ledger.pay.amount", 2**60),
    )
    (kept,) = recorded(permit(hop("h"), policy("p", "permit", *matches))).policies
    assert (kept.id, kept.tier, kept.file, kept.effect) == ("p", "teams", "teams/finance/p.cedar", "permit")
    assert [bytes(found.value) for found in kept.matched] == [
        b"true",
        b'["a","b"]',
        b'{"$integer":"0x1000000000000000"}',
    ]


def test_a_denial_and_a_question_are_verdicts_of_their_own() -> None:
    denied = recorded(deny(hop("h"), Reason.NO_PERMIT))
    assert (denied.verdict, denied.reason, denied.detail, denied.minted) == ("deny", Reason.NO_PERMIT, "why not", None)
    asked = recorded(Ask(hop("h"), (policy(effect="forbid"),), ("finance-leads",), "b", 1))
    assert (asked.verdict, asked.reason, asked.groups) == ("ask", Reason.APPROVAL_REQUIRED, ("finance-leads",))


def test_the_minted_token_is_kept_as_a_digest_only() -> None:
    token = minted("secret-claims")
    record = recorded(permit(hop("h")), token)
    assert record.minted is not None
    assert record.minted.digest == token_digest(token.token)
    assert b"secret-claims.signature" not in encode(record)
    assert b"head." not in encode(record)


def test_arguments_are_digested_and_not_shown() -> None:
    record = recorded(permit(hop("h", arguments={"account": "visible?"})))
    assert record.arguments_digest == digest({"account": "visible?"})
    assert b"visible?" not in encode(record)


def test_a_route_may_ask_for_arguments_in_the_clear() -> None:
    record = recorded(permit(hop("h", arguments={"z": 1, "account": "a1"}, route=RECORDING)))
    assert bytes(record.arguments) == b'{"account":"a1","z":1}'


def test_sensitive_arguments_are_keyed_even_where_the_route_records_them() -> None:
    arguments = {"iban": "DE02", "amount": 5}
    record = recorded(permit(hop("h", tool="pay", arguments=arguments, route=RECORDING)))
    keyed = hmac.digest(KEY, rfc8785.dumps(arguments), "sha256").hex()
    assert record.arguments_digest == msgspec.convert({"algorithm": "hmac-sha256", "value": keyed}, type(digest(1)))
    shown = json.loads(bytes(record.arguments))
    assert shown["amount"] == 5
    assert shown["iban"] == {"algorithm": "hmac-sha256", "value": hmac.digest(KEY, b'"DE02"', "sha256").hex()}
    assert b"DE02" not in encode(record)


def test_nobody_knows_what_is_sensitive_in_an_unregistered_tool() -> None:
    record = recorded(deny(hop("h", tool="unknown", arguments={"x": "guessable"}, route=RECORDING)))
    assert record.arguments_digest == digest({"x": "guessable"}, KEY)
    assert b"guessable" not in encode(record)


def test_a_message_without_arguments_is_digested_by_its_params() -> None:
    at = hop("h")
    call = replace(at.call, arguments=None, resource=Uid("Agent", "analyst"), message={"params": {"message": "hi"}})
    assert recorded(permit(replace(at, call=call))).arguments_digest == digest({"message": "hi"})
    silent = replace(call, message={})
    assert recorded(permit(replace(at, call=silent))).arguments_digest is None


def test_a_user_only_client_has_no_agent_and_its_hop_is_a_root() -> None:
    record = recorded(permit(hop("h", ())))
    assert (record.agent, record.chain.depth, record.chain.root) == (None, 0, True)


def test_the_outcome_says_how_and_how_long() -> None:
    outcome = Outcome(ok=False, reason=Reason.UPSTREAM_RESET, status=502, detail="gone", bytes_out=7, hidden=("a",))
    record = outcome_record(hop("h1"), outcome, 250)
    assert (record.hop, record.at, record.duration_ms, record.ok) == ("h1", NOW + 250, 250, False)
    assert (record.reason, record.status, record.detail, record.bytes_out, record.hidden) == (
        Reason.UPSTREAM_RESET,
        502,
        "gone",
        7,
        ("a",),
    )


def test_a_refusal_keeps_what_was_verified() -> None:
    token = HopToken(
        "corp|maria", "aud", (spiffe("planner"),), "txn-9", frozenset(), 1, 8, 1, 1, "stolen-digest", MARIA
    )
    attempt = Attempt(hop="r1", now=NOW, peer=peer("auditor"), route=LEDGER, presented=token, trace_id="t")
    record = refused_record(attempt, Reason.CHAIN_HOLDER, "not yours", registry())
    assert record.agent is not None
    assert (record.agent.name, record.user, record.txn, record.parent) == (
        "auditor",
        "corp|maria",
        "txn-9",
        "stolen-digest",
    )
    assert (record.reason, record.detail, record.route, record.method) == (
        Reason.CHAIN_HOLDER,
        "not yours",
        "ledger",
        None,
    )


def test_a_refusal_of_a_stranger_names_the_stranger() -> None:
    attempt = Attempt(hop="r1", now=NOW, peer=peer("nobody"), call=hop("x").call)
    record = refused_record(attempt, Reason.AGENT_UNREGISTERED, "", registry())
    assert record.agent == Workload(spiffe_id=spiffe("nobody"), x5t="x5t-nobody")
    assert (record.user, record.txn, record.method, record.resource) == (
        None,
        None,
        "tools/call",
        Uid("Tool", "ledger/read_balance"),
    )


def test_a_root_token_refused_leaves_its_digest_but_no_chain() -> None:
    token = RootToken(MARIA, "cli", frozenset({"r"}), 1, "root-digest")
    attempt = Attempt(hop="r1", now=NOW, peer=peer("analyst"), presented=token)
    record = refused_record(attempt, Reason.ENTRY_POINT_REQUIRED, "", registry())
    assert (record.user, record.txn, record.parent) == ("corp|maria", None, "root-digest")


def test_a_stranger_cannot_fill_the_disk_or_break_the_record() -> None:
    at = hop("h")
    call = replace(at.call, method="m" * 10_000_000, target="\ud800" * 5, resource=Uid("Tool", "t" * 1_000_000))
    record = recorded(permit(replace(at, call=call)))
    assert len(encode(record)) < 4096
    assert decode(encode(record)) == record


@pytest.mark.parametrize("record", [recorded(permit(hop("h")), minted("m")), recorded(deny(hop("h")))])
def test_bytes_are_canonical_and_read_back(record: DecisionRecord) -> None:
    payload = encode(record)
    assert rfc8785.dumps(msgspec.json.decode(payload)) == payload
    assert decode(payload) == record


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats() | st.text(max_size=5), max_size=4))
def test_any_arguments_give_canonical_records(arguments: dict[str, Any]) -> None:
    decided: Permit = permit(
        hop("h", arguments=arguments, route=RECORDING), policy("p", "permit", Match("a", arguments))
    )
    payload = encode(decision_record(decided, registry(), digest_key=KEY))
    # RFC 8785 knows only doubles: 1e17 is written as an integer.
    assert rfc8785.dumps(json.loads(payload, parse_int=float)) == payload
    assert encode(decode(payload)) == payload


@given(st.binary(max_size=200))
def test_reading_rubbish_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError):
        decode(payload)
