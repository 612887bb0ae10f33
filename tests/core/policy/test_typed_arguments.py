"""POLICY §1 on typed arguments, sentence by sentence, through the function that serves traffic."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.model import Deny, Permit, Uid
from gateway.core.policy.bundle import Bundle, compile_bundle
from gateway.core.policy.decide import decide
from gateway.core.reasons import Reason

SCOPE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
ALL = f'@id("all") permit ({SCOPE});'
PAY = Uid("Tool", "ledger/pay")
TYPES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer"},
        "to": {"type": "string"},
        "memo": {"type": "string"},
        "currency": {"enum": ["EUR", "USD"], "default": "EUR"},
        "ratio": {"type": "number"},
        "either": {"type": ["string", "integer"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "cost-centre": {"type": "string", "default": "none"},
        "ship to": {"type": "object", "properties": {"post code": {"type": "string"}}, "required": ["post code"]},
        "__entity": {"type": "string"},
        "outer": {"type": "object", "properties": {"__extn": {"type": "string"}, "x": {"type": "integer"}}},
        "free": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["amount", "to"],
    "additionalProperties": True,
}
FIT: dict[str, Any] = {"amount": 5, "to": "ACME"}


@pytest.fixture(scope="module")
def typed(firm):
    return retyped(firm, TYPES)


def retyped(firm, schema):
    ledger = firm.servers["ledger"]
    pay = structs.replace(ledger.tools["pay"], input_schema=schema)
    changed = structs.replace(ledger, tools={**ledger.tools, "pay": pay})
    return structs.replace(firm, servers={**firm.servers, "ledger": changed})


def reads(condition: str) -> str:
    return f"context has args.ledger.pay && ({condition})"


def permit(condition: str) -> str:
    return f'@id("p") permit ({SCOPE}) when {{ {reads(condition)} }};'


def forbid(condition: str) -> str:
    return f'{ALL}\n@id("f") forbid ({SCOPE}) when {{ {reads(condition)} }};'


def decided(kit, registry, policy, arguments):
    hop = kit.hop(resource=PAY, arguments=arguments)
    return decide(hop, kit.loaded(kit.files(policy), registry), registry, 1)


def problems(kit, registry, policy) -> str:
    found = compile_bundle(kit.files(policy), kit.SCHEMA, registry)
    return "" if isinstance(found, Bundle) else "\n".join(map(str, found))


def test_a_tool_without_an_approved_definition_has_no_arguments_for_policies(kit, firm):
    told = problems(kit, retyped(firm, None), permit("context.args.ledger.pay.amount > 1"))
    assert "args.ledger.pay.amount" in told


def test_the_published_example_is_an_ordinary_expression(kit, typed):
    policy = permit("context.args.ledger.pay.amount > 1000")
    assert isinstance(decided(kit, typed, policy, {**FIT, "amount": 1001}), Permit)
    assert isinstance(decided(kit, typed, policy, {**FIT, "amount": 1000}), Deny)


def test_an_optional_argument_without_a_default_is_read_by_a_permit_only(kit, typed):
    condition = 'context.args.ledger.pay has memo && context.args.ledger.pay.memo == "x"'
    assert problems(kit, typed, permit(condition)) == ""
    assert "optional argument `ledger.pay.memo`" in problems(kit, typed, forbid(condition))
    assert "optional argument `ledger.pay.memo`" in problems(kit, typed, forbid("context.args.ledger.pay has memo"))


@pytest.mark.parametrize(
    "condition",
    [
        "context.args.ledger.pay == context.args.ledger.pay",
        "[context.args.ledger.pay].contains(context.args.ledger.pay)",
        "context.args.ledger == context.args.ledger",
        'context.args.ledger.pay has outer && context.args.ledger.pay.outer == {"x": 1}',
    ],
)
def test_nor_is_it_read_by_a_forbid_within_a_record_that_is_read_whole(kit, typed, condition):
    assert "optional argument" in problems(kit, typed, forbid(condition))


@pytest.mark.parametrize(
    "condition",
    ['context.args.ledger.pay.currency == "USD"', "context.args.ledger.pay.amount > 5"],
)
def test_a_forbid_reads_what_is_required_or_has_a_default(kit, typed, condition):
    assert problems(kit, typed, forbid(condition)) == ""


def test_a_forbid_holds_for_a_default_that_nobody_spelled_out(kit, typed):
    policy = forbid('context.args.ledger.pay.currency == "EUR"')
    for arguments in (FIT, {**FIT, "currency": None}, {**FIT, "currency": "EUR"}):
        found = decided(kit, typed, policy, arguments)
        assert isinstance(found, Deny)
        assert found.reason is Reason.FORBIDDEN
    assert isinstance(decided(kit, typed, policy, {**FIT, "currency": "USD"}), Permit)


def test_null_in_an_optional_argument_is_absence(kit, typed):
    policy = permit("!(context.args.ledger.pay has memo)")
    assert isinstance(decided(kit, typed, policy, {**FIT, "memo": None}), Permit)
    assert isinstance(decided(kit, typed, policy, {**FIT, "memo": ""}), Deny)


def test_undeclared_names_are_refused_whatever_the_schema_adds(kit, typed):
    found = decided(kit, typed, permit("context.args.ledger.pay.amount > 1"), {**FIT, "more": 1})
    assert isinstance(found, Deny)
    assert (found.reason, found.reason.status) == (Reason.ARGUMENTS_INVALID, 400)
    assert isinstance(decided(kit, typed, ALL, {**FIT, "more": 1}), Permit), "no policy reads them"


@pytest.mark.parametrize("name", ["ratio", "either", "free", "__entity"])
def test_what_can_not_be_typed_is_no_matter_of_policies_and_passes(kit, typed, name):
    read = f'context.args.ledger.pay["{name}"] == context.args.ledger.pay["{name}"]'
    assert problems(kit, typed, permit(read)) != ""
    assert isinstance(decided(kit, typed, permit("context.args.ledger.pay.amount > 1"), {**FIT, name: 1.5}), Permit)


def test_reserved_names_are_typed_at_no_depth(kit, typed):
    assert problems(
        kit, typed, permit('context.args.ledger.pay has outer && context.args.ledger.pay.outer["__extn"] == "x"')
    )
    policy = permit("context.args.ledger.pay has outer && context.args.ledger.pay.outer has x")
    sent = {**FIT, "outer": {"__extn": {"fn": "ip", "arg": "::1"}, "x": 1}}
    assert isinstance(decided(kit, typed, policy, sent), Permit)


def test_names_that_are_no_identifiers(kit, typed):
    policy = permit('context.args.ledger.pay has "cost-centre" && context.args.ledger.pay["cost-centre"] == "none"')
    assert isinstance(decided(kit, typed, policy, FIT), Permit)
    assert isinstance(decided(kit, typed, policy, {**FIT, "cost-centre": "it"}), Deny)
    policy = permit('context.args.ledger.pay has "ship to" && context.args.ledger.pay["ship to"]["post code"] == "1"')
    assert isinstance(decided(kit, typed, policy, {**FIT, "ship to": {"post code": "1"}}), Permit)
    assert isinstance(decided(kit, typed, policy, FIT), Deny)


def test_servers_and_tools_whose_names_are_no_identifiers(kit, firm):
    tool = kit.tool("my-ledger", "pay.now", input_schema=TYPES)
    registry = structs.replace(firm, servers={**firm.servers, "my-ledger": kit.server("my-ledger", "finance", [tool])})
    at = 'context.args["my-ledger"]'
    condition = f'context has args && context.args has "my-ledger" && {at} has "pay.now" && {at}["pay.now"].amount > 3'
    bundle = kit.loaded(kit.files(f'@id("p") permit ({SCOPE}) when {{ {condition} }};'), registry)
    for amount, verdict in ((4, Permit), (3, Deny)):
        hop = kit.hop(resource=Uid("Tool", "my-ledger/pay.now"), arguments={**FIT, "amount": amount})
        assert isinstance(decide(hop, bundle, registry, 1), verdict)


@pytest.mark.parametrize("tags", [["a", "b"], ["b", "a", "a", "b"]])
def test_arrays_are_sets(kit, typed, tags):
    condition = 'context.args.ledger.pay has tags && context.args.ledger.pay.tags == ["a", "b"]'
    assert isinstance(decided(kit, typed, permit(condition), {**FIT, "tags": tags}), Permit)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 5.0, 5.5, "5", True, [5]], ids=repr)
def test_integers_are_of_64_bits(kit, typed, value):
    found = decided(kit, typed, permit("context.args.ledger.pay.amount > 1"), {**FIT, "amount": value})
    assert isinstance(found, Deny)
    assert found.reason is Reason.ARGUMENTS_INVALID


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["USD", "EUR", 2**80]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["__entity", "x", "type"]), inner),
    max_leaves=5,
)
UNREAD = ("memo", "ratio", "either", "tags", "cost-centre", "ship to", "__entity", "outer", "free")
READ = st.fixed_dictionaries(
    {"amount": st.integers(0, 10)}, optional={"currency": st.sampled_from(["EUR", "USD", None])}
)


@pytest.fixture(scope="module")
def reading(kit, typed):
    condition = 'context.args.ledger.pay.amount > 5 || context.args.ledger.pay.currency == "USD"'
    return kit.loaded(kit.files(permit(condition)), typed)


@settings(deadline=None)
@given(READ, st.dictionaries(st.sampled_from(UNREAD), ANYTHING), ANYTHING)
def test_only_paths_that_policies_read_matter(kit, typed, reading, read, unread, to):
    """Whatever stands in what no policy reads, the verdict is that of the read values alone, and so is what is told."""
    plain = decide(kit.hop(resource=PAY, arguments={**read, "to": "x"}), reading, typed, 1)
    hostile = decide(kit.hop(resource=PAY, arguments={**unread, **read, "to": to}), reading, typed, 1)
    assert isinstance(hostile, Permit) == (read["amount"] > 5 or read.get("currency") == "USD")
    assert (type(hostile), hostile.policies) == (type(plain), plain.policies)


def test_the_values_told_are_those_decided_on(kit, typed):
    found = decided(kit, typed, permit('context.args.ledger.pay.currency == "EUR"'), FIT)
    assert ("context.args.ledger.pay.currency", "EUR") in [(m.path, m.value) for m in found.policies[0].matched]
