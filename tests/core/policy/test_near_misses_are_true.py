"""What a near miss tells is so: whoever changes just the values that it names, as it says, is permitted."""

import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.model import Permit, Uid
from gateway.core.policy.decide import decide
from gateway.core.policy.explain import near_misses
from gateway.core.policy.replay import over

PAY = Uid("Tool", "ledger/pay")
SCOPE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
ARGUMENT = "context.args.ledger.pay.amount"
LEVELS = ("low", "medium", "high")
Facts = dict[str, Any]
"""What a mend may change: the agent's attributes, the amount, the purpose; ``by`` how much more than it has to."""

NUMBERS = st.integers(-5, 5)
COMPARED = st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS, st.booleans(), st.booleans())
ATOMS = st.one_of(
    COMPARED.map(
        lambda drawn: negated(
            f"{drawn[1]} {drawn[0]} {ARGUMENT}" if drawn[2] else f"{ARGUMENT} {drawn[0]} {drawn[1]}", drawn[3]
        )
    ),
    st.tuples(st.sampled_from(["==", "!="]), st.sampled_from(LEVELS), st.booleans()).map(
        lambda drawn: negated(f'principal.risk_level {drawn[0]} "{drawn[1]}"', drawn[2])
    ),
    st.sampled_from(
        ['principal.capabilities.contains("audit")', 'principal.capabilities.containsAll(["audit", "planning"])']
    ),
    st.sampled_from(["principal.entry_point", "!principal.entry_point"]),
    st.sampled_from(['principal in Group::"finance-leads"', '!(principal in Group::"finance-agents")']),
    st.sampled_from(["context has purpose", "!(context has purpose)"]),
)
ONE_EACH = st.lists(ATOMS, min_size=1, max_size=3, unique_by=lambda atom: re.sub(r"[^a-z_]", "", subject(atom)))
SITUATIONS = st.fixed_dictionaries(
    {
        "amount": NUMBERS,
        "risk_level": st.sampled_from(LEVELS),
        "capabilities": st.sampled_from([("finance",), ("audit",), ()]),
        "entry_point": st.booleans(),
        "groups": st.sampled_from([("finance-agents",), ("finance-leads",), ()]),
        "purpose": st.sampled_from([None, "audit"]),
        "by": st.integers(0, 3),
    }
)


def negated(text: str, turned: bool) -> str:
    return f"!({text})" if turned else text


def compound(atoms: list[str], draw: Any) -> str:
    """One clause of atoms about different facts: alternatives, joined, turned round or chosen by ``if``."""
    if len(atoms) == 1:
        return negated(atoms[0], draw(st.booleans()))
    cut = draw(st.integers(1, len(atoms) - 1))
    parts = [compound(side, draw) for side in (atoms[:cut], atoms[cut:])]
    if cut > 1 and draw(st.booleans()):
        chosen = compound(atoms[1:cut], draw)
        text = f"if {atoms[0]} then ({chosen}) else ({parts[1]})"
    else:
        text = f" {draw(st.sampled_from(['&&', '||']))} ".join(f"({part})" for part in parts)
    return negated(text, draw(st.booleans()))


@st.composite
def compounds(draw: Any) -> str:
    """A clause of two to four atoms."""
    atoms = st.lists(ATOMS, min_size=2, max_size=4, unique_by=lambda atom: re.sub(r"[^a-z_]", "", subject(atom)))
    return compound(draw(atoms), draw)


def choices(reason: str) -> list[list[str]]:
    """The needs of every way that a reason tells, each as if it were the only one."""
    if not reason.startswith("needs "):
        return [reason.split(" while ")[0].split(", and ")]
    ways = re.sub(r", and \d+ more$", "", reason).removeprefix("needs ").split(", or ")
    return [[sentence(need) for need in way.split(" while ")[0].split(" and ")] for way in ways]


def sentence(need: str) -> str:
    """``<subject> <needed> (is <value>)`` as the sentence that tells it alone."""
    for pattern, alone in ALONE:
        if re.fullmatch(pattern, need):
            return re.sub(pattern, alone, need)
    raise AssertionError(f"it doesn't say what it needs: {need}")


def subject(atom: str) -> str:
    """The fact that an atom is about: one clause for each, or mending one could break another."""
    found = re.search(r"amount|risk_level|capabilities|entry_point|Group|purpose", atom)
    assert found is not None
    return found[0]


ALONE = [
    (r"(\S+) (.*) \(is (.*)\)", r"\1 is \3, needs \2"),
    (r"(\S+) to be in (.*)", r"\1 is not in \2"),
    (r"(\S+) to be outside (.*)", r"\1 is in \2, needs to be outside"),
    (r"(\S+) to have (.*)", r"\1 has no \2"),
    (r"(\S+) to be without (.*)", r"\1 has \2, needs to be without"),
]
MENDS: list[tuple[str, Callable[[Facts, re.Match[str]], Facts]]] = [
    (r"amount is (-?\d+), needs less than (-?\d+)$", lambda f, m: f | {"amount": int(m[2]) - 1 - f["by"]}),
    (r"amount is (-?\d+), needs at most (-?\d+)$", lambda f, m: f | {"amount": int(m[2]) - f["by"]}),
    (r"amount is (-?\d+), needs more than (-?\d+)$", lambda f, m: f | {"amount": int(m[2]) + 1 + f["by"]}),
    (r"amount is (-?\d+), needs at least (-?\d+)$", lambda f, m: f | {"amount": int(m[2]) + f["by"]}),
    (r"amount is (-?\d+), needs anything but (-?\d+)$", lambda f, m: f | {"amount": int(m[2]) + 1 + f["by"]}),
    (r"amount is (-?\d+), needs (-?\d+)$", lambda f, m: f | {"amount": int(m[2])}),
    (
        r'risk_level is "(\w+)", needs anything but "(\w+)"$',
        lambda f, m: f | {"risk_level": next(level for level in LEVELS if level != m[2])},
    ),
    (r'risk_level is "(\w+)", needs "(\w+)"$', lambda f, m: f | {"risk_level": m[2]}),
    (
        r"capabilities is .*, needs to contain (?:all of )?(.*)$",
        lambda f, m: f | {"capabilities": (*f["capabilities"], *re.findall(r'"(\w+)"', m[1]))},
    ),
    (
        r"capabilities is .*, needs not to contain (?:all of )?(.*)$",
        lambda f, m: f | {"capabilities": tuple(set(f["capabilities"]) - set(re.findall(r'"(\w+)"', m[1])))},
    ),
    (r"entry_point is (\w+), needs (\w+)$", lambda f, m: f | {"entry_point": m[2] == "true"}),
    (r'principal is not in Group::"(.*)"$', lambda f, m: f | {"groups": (*f["groups"], m[1])}),
    (
        r'principal is in Group::"(.*)", needs to be outside$',
        lambda f, m: f | {"groups": tuple(group for group in f["groups"] if group != m[1])},
    ),
    (r"context has no purpose$", lambda f, _: f | {"purpose": "audit"}),
    (r"context has purpose, needs to be without$", lambda f, _: f | {"purpose": None}),
]


def mended(facts: Facts, reason: str) -> Facts:
    for pattern, mend in MENDS:
        found = re.search(pattern, reason)
        if found is not None:
            return mend(facts, found)
    raise AssertionError(f"it doesn't say what to change: {reason}")


def trying(kit, firm, atoms: list[str]) -> Callable[[Facts], list[str] | None]:
    """The reasons of the near miss in a situation; None where the call is permitted."""
    condition = " && ".join(["context has args.ledger.pay", *atoms])
    # Somebody else keeps the group known.
    planner = structs.replace(firm.agents["planner"], groups=("finance-agents",))
    base = structs.replace(firm, agents={**firm.agents, "planner": planner})
    compiled = kit.loaded(kit.files(f'@id("p") permit ({SCOPE}) when {{ {condition} }};'), base)
    actions = {uid: entity for uid, entity in compiled.world.registered.items() if uid.type == "Action"}

    def tried(facts: Facts) -> list[str] | None:
        agent = structs.replace(
            firm.agents["analyst"],
            **{name: facts[name] for name in ("risk_level", "capabilities", "entry_point", "groups")},
        )
        registry = structs.replace(base, agents={**base.agents, "analyst": agent})
        bundle = over(compiled, registry, actions)
        changes = {} if facts["purpose"] is None else {"purpose": facts["purpose"]}
        hop = kit.hop(resource=PAY, arguments={"amount": facts["amount"], "to": "x"}, **changes)
        if isinstance(decide(hop, bundle, registry, 1), Permit):
            return None
        (line,) = near_misses(hop, bundle, registry)
        return line.removeprefix("permit `p` failed: ").split("; ")

    return tried


@settings(deadline=None)
@given(ONE_EACH, SITUATIONS)
def test_changing_what_is_told_as_it_is_told_makes_the_clause_true(kit, firm, atoms, facts):
    tried = trying(kit, firm, atoms)
    reasons = tried(facts)
    for _ in atoms:
        if reasons is None:
            return
        facts = mended(facts, reasons[0])
        left = tried(facts)
        assert left is None or left == reasons[1:]
        reasons = left
    assert reasons is None


@settings(deadline=None)
@given(compounds(), SITUATIONS)
def test_each_way_that_is_told_makes_a_compound_clause_true(kit, firm, condition, facts):
    tried = trying(kit, firm, [f"({condition})"])
    reasons = tried(facts)
    if reasons is None:
        return
    # Any choice of one way for each clause will do: the first of each, the second of each, the third.
    told = [choices(reason) for reason in reasons if not re.match(r"and \d+ more$", reason)]
    for choice in range(max(map(len, told))):
        changed = facts
        for ways in told:
            for need in ways[min(choice, len(ways) - 1)]:
                changed = mended(changed, need)
        left = tried(changed)
        assert left is None or (len(told) < len(reasons) and len(left) < len(reasons))


@pytest.mark.parametrize("turned", [False, True], ids=["when", "unless"])
@pytest.mark.parametrize("literal_first", [False, True])
@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
def test_every_comparison_is_told_as_it_is(kit, firm, op, literal_first, turned):
    text = f"0 {op} {ARGUMENT}" if literal_first else f"{ARGUMENT} {op} 0"
    tried = trying(kit, firm, [negated(text, turned)])
    agent = {"risk_level": "low", "capabilities": (), "entry_point": False, "groups": (), "purpose": None}
    for amount, by in product((-2, -1, 0, 1, 2), (0, 1, 5)):
        facts = {**agent, "amount": amount, "by": by}
        reasons = tried(facts)
        assert reasons is None or tried(mended(facts, reasons[0])) is None
