"""The memory is bounded, forgets the oldest, keeps no error, and is shared only by what says the same."""

from msgspec import structs

from gateway.core.model import Uid
from gateway.core.policy.decide import decide, hangs_on_time
from gateway.core.policy.evaluate import Evaluation
from gateway.core.policy.memory import Answer, Memory

YES = Evaluation(True, ("p",))
SCOPE = '(principal is Agent, action == Action::"invokeTool", resource is Tool)'
PAY = Uid("Tool", "ledger/pay")


def test_the_oldest_makes_room_and_a_smaller_bound_applies_at_once():
    memory = Memory(2)
    for key in (b"1", b"2", b"3"):
        memory.put(key, Answer(YES))
    assert [memory.find(key) is not None for key in (b"1", b"2", b"3")] == [False, True, True]
    memory.keep(1)
    assert (len(memory), memory.find(b"2"), memory.find(b"3") is not None) == (1, None, True)
    memory.keep(0)
    memory.put(b"4", Answer(YES))
    assert len(memory) == 0


def test_errors_and_what_has_no_key_are_not_kept_but_counted():
    memory = Memory(2)
    memory.put(b"1", Answer(Evaluation(False, error="e")))
    memory.put(None, Answer(YES))
    assert (len(memory), memory.find(None), memory.unkept, memory.misses) == (0, None, 2, 0)


def test_a_registry_change_that_a_call_does_not_read_leaves_its_answer_valid(kit, firm):
    text = f'@id("p") permit {SCOPE} when {{ principal.risk_level == "low" }};'
    bundle = kit.loaded(kit.files(text), firm)
    hop = kit.hop()
    first = decide(hop, bundle, firm, 1)
    for change, hits in (({"purpose": "other", "capabilities": ("x",)}, 1), ({"risk_level": "high"}, 0)):
        agents = {**firm.agents, "analyst": structs.replace(firm.agents["analyst"], **change)}
        other = structs.replace(firm, agents=agents)
        after = kit.loaded(kit.files(text), other).remembering(bundle.memory)
        before = bundle.memory.hits
        found = decide(hop, after, other, 2)
        assert bundle.memory.hits - before == hits
        assert found.generation == 2
        assert (type(found) is type(first)) is bool(hits)


def test_the_same_policy_under_another_name_or_place_is_another(kit, firm):
    first = kit.loaded(kit.files(f'@id("p") permit {SCOPE};'), firm)
    decide(kit.hop(), first, firm, 1)
    named = kit.loaded(kit.files(f'@id("q") permit {SCOPE};'), firm).remembering(first.memory)
    placed = kit.loaded(kit.files(f'@id("p") permit {SCOPE};', path="baseline/p.cedar"), firm)
    assert decide(kit.hop(), named, firm, 1).policies[0].id == "q"
    assert decide(kit.hop(), placed.remembering(first.memory), firm, 1).policies[0].tier == "baseline"
    assert first.memory.hits == 0


def test_each_call_is_recorded_with_its_own_arguments_and_its_own_hop(kit, firm):
    text = f'@id("p") permit {SCOPE} when {{ context has args.ledger.pay && context.args.ledger.pay.amount > 1 }};'
    bundle = kit.loaded(kit.files(text), firm)
    for number, amount in enumerate((5, 7, 5, 7)):
        hop = structs.replace(kit.hop(resource=PAY, arguments={"amount": amount, "to": "x"}), id=f"h{number}")
        found = decide(hop, bundle, firm, 1)
        values = {match.path: match.value for match in found.policies[0].matched}
        assert values["context.args.ledger.pay.amount"] == amount
        assert found.hop is hop
    assert bundle.memory.hits == 2


def test_a_policy_that_names_one_agent_answers_for_no_other(kit, firm):
    text = f'@id("p") permit {SCOPE} when {{ principal == Agent::"analyst" }};'
    bundle = kit.loaded(kit.files(text), firm)
    kinds = [type(decide(kit.hop(who), bundle, firm, 1)).__name__ for who in ("analyst", "auditor") * 2]
    assert kinds == ["Permit", "Deny"] * 2
    assert bundle.memory.hits == 2


def test_a_derived_permit_tells_what_its_author_reads_though_the_list_bundle_does_not(kit, firm):
    """What arguments shield from overflow isn't evaluated for lists, but recorded."""
    text = f'@id("p") permit {SCOPE} when {{ context has args.ledger.pay && principal.risk + 1 > 1 }};'
    server, memory = Uid("McpServer", "ledger"), None
    for level, risk in (("low", 1), ("medium", 2)):
        agents = {**firm.agents, "analyst": structs.replace(firm.agents["analyst"], risk_level=level)}
        known = structs.replace(firm, agents=agents)
        bundle = kit.loaded(kit.files(text), known)
        bundle = bundle if memory is None else bundle.remembering(memory)
        memory = bundle.memory
        found = decide(kit.hop(action="discover", resource=server), bundle, known, 1)
        assert {match.path: match.value for match in found.policies[0].matched}["principal.risk"] == risk


def test_long_arguments_that_policies_read_are_not_kept(kit, firm):
    text = f'@id("p") permit {SCOPE} when {{ context has args.ledger.pay && context.args.ledger.pay.to != "x" }};'
    bundle = kit.loaded(kit.files(text), firm)
    hop = kit.hop(resource=PAY, arguments={"amount": 1, "to": "y" * 5000})
    assert [type(decide(hop, bundle, firm, 1)).__name__ for _ in "12"] == ["Permit", "Permit"]
    assert (bundle.memory.hits, len(bundle.memory), bundle.memory.unkept) == (0, 0, 2)


def test_what_reads_the_time_is_never_kept(kit, firm):
    """Its key would be right, and good for a millisecond: it would only push others out."""
    text = f'@id("p") permit {SCOPE} when {{ context.now < datetime("2030-01-01") }};'
    bundle = kit.loaded(kit.files(text), firm)
    assert [type(decide(kit.hop(), bundle, firm, 1)).__name__ for _ in "12"] == ["Permit", "Permit"]
    assert (bundle.memory.hits, bundle.memory.misses, bundle.memory.unkept) == (0, 0, 2)


def test_only_what_a_timed_policy_decides_hangs_on_time(kit, firm):
    timed = 'when { context.now < datetime("2030-01-01") }'
    scope = SCOPE.replace("resource is Tool", 'resource in ToolSet::"payments"')
    bundle = kit.loaded(kit.files(f'@id("p") permit {scope} {timed};'), firm)
    assert hangs_on_time(kit.hop(resource=PAY, arguments={}), bundle, firm)
    assert not hangs_on_time(kit.hop(), bundle, firm)
    server = kit.hop(action="discover", resource=Uid("McpServer", "ledger"))
    assert hangs_on_time(server, bundle, firm), "opening a server derives from what may be called there"
    assert not hangs_on_time(kit.hop(action="discover", resource=Uid("McpServer", "reports")), bundle, firm)
    both = structs.replace(kit.hop().call, also=(("invokeTool", PAY),))
    assert hangs_on_time(structs.replace(kit.hop(), call=both), bundle, firm)
