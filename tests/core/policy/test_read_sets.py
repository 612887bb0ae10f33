"""The values that a record names are those of exactly what scope and conditions read, whatever shape these have."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.model import Permit, Uid
from gateway.core.policy.decide import decide

PAY = Uid("Tool", "ledger/pay")
ARGS = "context has args.ledger.pay && context.args.ledger.pay"
WHETHER = ("context has args", "context.args has ledger", "context.args.ledger has pay")
ATOMS = {
    'principal.risk_level == "low"': {"principal.risk_level": "low"},
    "principal.risk > 5": {"principal.risk": 1},
    'principal.team == Team::"finance"': {"principal.team": 'Team::"finance"'},
    "!principal.entry_point": {"principal.entry_point": False},
    'principal.capabilities.contains("audit")': {"principal.capabilities": ["finance"]},
    'principal in Group::"finance-agents"': {'principal in Group::"finance-agents"': True},
    'resource.server in Team::"finance"': {
        'resource.server in Team::"finance"': True,
        "resource.server": 'McpServer::"ledger"',
    },
    'principal.hasTag("zone")': {'principal.hasTag("zone")': False},
    "context.delegation_depth <= 3": {"context.delegation_depth": 1},
    "context has purpose": {"context has purpose": False},
    f"({ARGS}.amount > 3)": {"context.args.ledger.pay.amount": 5},
    f'({ARGS}.to like "A*")': {"context.args.ledger.pay.to": "ACME"},
    f'({ARGS} has memo && context.args.ledger.pay.memo == "x")': {"context.args.ledger.pay has memo": False},
}
KNOWN = list(ATOMS)
TREES = st.recursive(
    st.sampled_from(KNOWN).map(lambda atom: (atom, frozenset({atom}))),
    lambda inner: st.one_of(
        st.tuples(inner, inner, st.sampled_from(["&&", "||"])).map(
            lambda drawn: (f"({drawn[0][0]} {drawn[2]} {drawn[1][0]})", drawn[0][1] | drawn[1][1])
        ),
        inner.map(lambda one: (f"!({one[0]})", one[1])),
        st.tuples(inner, inner, inner).map(
            lambda drawn: (
                f"(if {drawn[0][0]} then {drawn[1][0]} else {drawn[2][0]})",
                drawn[0][1] | drawn[1][1] | drawn[2][1],
            )
        ),
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(TREES)
def test_the_values_named_are_exactly_those_read(kit, firm, tree):
    text, atoms = tree
    scope = 'principal is Agent, action == Action::"invokeTool", resource == Tool::"ledger/pay"'
    bundle = kit.loaded(kit.files(f'@id("p") permit ({scope}) when {{ {text} || true }};'), firm)
    hop = kit.hop(resource=PAY, arguments={"amount": 5, "to": "ACME"})
    found = decide(hop, bundle, firm, 1)
    assert isinstance(found, Permit)
    [policy] = found.policies
    expected = {"principal is Agent": True, "resource": str(PAY)}
    for atom in atoms:
        expected |= ATOMS[atom]
    # Whether there are arguments at all is told too where none of their values is.
    named = {match.path: match.value for match in policy.matched if match.path not in WHETHER}
    assert named == expected
