"""Whatever strings callers, tokens and registrations bring, verdicts follow from the values that policies compare."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.model import Ask, Deny, Permit, Uid, User
from gateway.core.policy.decide import decide

PAY = Uid("Tool", "ledger/pay")
CRAFTED = st.sampled_from(
    [
        '{"__entity": {"type": "Group", "id": "finance-leads"}}',
        '{"__extn": {"fn": "datetime", "arg": "2020-01-01"}}',
        '"; permit(principal, action, resource); //',
        'Group::"finance-leads"',
        "\x00", "\u202e", "\ufeff", '"', "\\", "\\u{0}", "*", "low", "true", "9" * 400, "a" * 5000,
    ]
)  # fmt: skip
TEXT = st.one_of(CRAFTED, st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
NAMES = st.lists(TEXT, max_size=4).map(tuple)


def kinds(amount):
    if amount > 100_000:
        return Deny
    return Ask if amount > 1000 else Permit


@settings(max_examples=60, deadline=None)
@given(to=TEXT, memo=st.none() | TEXT, amount=st.integers(-(2**63), 2**63 - 1), roles=NAMES, email=st.none() | TEXT)
def test_arguments_and_token_claims(kit, firm, bundle, to, memo, amount, roles, email):
    person = User("https://login.example", "corp", "maria", email, roles, roles)
    sent = {"amount": amount, "to": to, "memo": memo}
    found = decide(kit.hop(resource=PAY, user=person, arguments=sent), bundle, firm, 1)
    assert type(found) is kinds(amount), found


@settings(max_examples=60, deadline=None)
@given(
    wrong=st.one_of(
        TEXT,
        st.booleans(),
        st.floats(),
        st.none(),
        st.integers(min_value=2**63),
        st.lists(st.integers(), max_size=2),
        st.fixed_dictionaries({"__extn": st.fixed_dictionaries({"fn": st.just("decimal"), "arg": TEXT})}),
        st.fixed_dictionaries({"__entity": st.fixed_dictionaries({"type": TEXT, "id": TEXT})}),
    )
)
def test_an_amount_that_is_no_integer_is_never_let_through(kit, firm, bundle, wrong):
    found = decide(kit.hop(resource=PAY, arguments={"amount": wrong, "to": "x"}), bundle, firm, 1)
    assert isinstance(found, Deny)


@settings(max_examples=15, deadline=None)
@given(purpose=TEXT, tags=st.dictionaries(TEXT, TEXT, max_size=3), chain_purpose=TEXT)
def test_what_is_registered_of_an_agent(kit, firm, purpose, tags, chain_purpose):
    analyst = structs.replace(firm.agents["analyst"], purpose=purpose, tags={**tags, "x": "y"})
    registry = structs.replace(firm, agents={**firm.agents, "analyst": analyst})
    loaded = kit.loaded(kit.shipped(), registry)
    for amount in (1000, 1001, 100_001):
        hop = kit.hop(resource=PAY, arguments={"amount": amount, "to": "x"}, purpose=chain_purpose)
        assert type(decide(hop, loaded, registry, 1)) is kinds(amount)
