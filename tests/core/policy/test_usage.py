"""What was used lately, as policies see it: never remembered, denied where unknown, recorded, exact in replay."""

import msgspec
from msgspec import structs

from gateway.core.audit import DecisionRecord, decision_record, decode, encode
from gateway.core.model import Deny, Permit, Uid, Usage
from gateway.core.policy.decide import decide, hangs_on_time, may_use
from gateway.core.policy.described import Described, hop_of
from gateway.core.policy.keeping import Keeper
from gateway.core.policy.replay import Answer, Replay, Undecidable, pieces_of
from gateway.core.policy.retold import retold, unknown_to
from gateway.core.reasons import Reason

SCOPE = '(principal is Agent, action == Action::"invokeTool", resource is Tool)'
PERMIT = f'@id("all") permit {SCOPE};'
MANY = f'@id("many") forbid {SCOPE} when {{ context has usage && context.usage.agent_requests_minute > 5 }};'
FEW, BUSY = Usage(agent_requests_minute=5), Usage(agent_requests_minute=6)
READ = Uid("Tool", "ledger/read_balance")
KEY = b"k" * 32


def recorded(hop, bundle, registry):
    """The record of a decision, as the log gives it back."""
    decision = decide(hop, bundle, registry, 1)
    usage = hop.usage if bundle.reads_usage else None
    facts = [piece.digest for piece in Keeper().pieces(hop, bundle)]
    return decode(encode(decision_record(decision, registry, digest_key=KEY, facts=facts, usage=usage)))


def test_a_forbid_counts_the_call_itself_and_tells_what_it_read(kit, firm):
    bundle = kit.loaded(kit.files(PERMIT, MANY), firm)
    assert isinstance(decide(kit.hop(usage=FEW), bundle, firm, 1), Permit)
    found = decide(kit.hop(usage=BUSY), bundle, firm, 1)
    assert isinstance(found, Deny)
    assert found.reason is Reason.FORBIDDEN
    [policy] = found.policies
    assert ("context.usage.agent_requests_minute", 6) in [(each.path, each.value) for each in policy.matched]


def test_what_reads_it_is_never_remembered_and_what_does_not_is(kit, firm):
    bundle = kit.loaded(kit.files(PERMIT, MANY), firm)
    verdicts = [type(decide(kit.hop(usage=usage), bundle, firm, 1)) for usage in (FEW, BUSY, FEW, BUSY)]
    assert verdicts == [Permit, Deny, Permit, Deny]
    assert (bundle.memory.hits, len(bundle.memory)) == (0, 0)
    other = kit.loaded(kit.files(PERMIT), firm)
    for usage in (FEW, BUSY):
        decide(kit.hop(usage=usage), other, firm, 1)
    assert other.memory.hits == 1


def test_where_nobody_knows_a_policy_that_reads_it_denies(kit, firm):
    """The policy's own ``has`` would otherwise let the call slip."""
    bundle = kit.loaded(kit.files(PERMIT, MANY), firm)
    found = decide(kit.hop(usage=None), bundle, firm, 1)
    assert isinstance(found, Deny)
    assert found.reason is Reason.POLICY_ERROR
    assert isinstance(decide(kit.hop(usage=None), kit.loaded(kit.files(PERMIT), firm), firm, 1), Permit)


def test_a_busy_agent_is_still_shown_what_it_may_call_later(kit, firm):
    bundle = kit.loaded(kit.files(PERMIT, MANY), firm)
    listing = kit.hop(action="listTools", resource=Uid("McpServer", "ledger"), usage=BUSY)
    assert may_use(listing, bundle, firm, READ)
    assert isinstance(decide(listing, bundle, firm, 1), Permit)


def test_a_forbid_of_listing_itself_holds_the_list_back(kit, firm):
    text = MANY.replace("invokeTool", "listTools").replace("resource is Tool", "resource")
    bundle = kit.loaded(kit.files(PERMIT, text), firm)
    listing = kit.hop(action="listTools", resource=Uid("McpServer", "ledger"), usage=BUSY)
    assert isinstance(decide(listing, bundle, firm, 1), Deny)
    assert isinstance(decide(structs.replace(listing, usage=FEW), bundle, firm, 1), Permit)


def test_streams_are_not_decided_again_for_what_others_use_meanwhile(kit, firm):
    """Or the call that is one too many would end all that were let in before it."""
    assert not hangs_on_time(kit.hop(usage=FEW), kit.loaded(kit.files(PERMIT, MANY), firm), firm)


def test_a_misspelt_fact_is_an_error_with_the_right_one(kit, firm):
    problems = kit.compile_bundle(kit.files(MANY.replace("requests_minute", "request_minute")), kit.SCHEMA, firm)
    assert "agent_requests_minute" in str(problems[0].message)


def test_records_keep_it_where_some_policy_reads_it_staged_ones_too(kit, firm):
    assert not kit.loaded(kit.files(PERMIT), firm).reads_usage
    assert kit.loaded(kit.files(PERMIT, MANY), firm).reads_usage
    staged = MANY.replace("@id", '@mode("staged") @id')
    bundle = kit.loaded(kit.files(PERMIT, staged), firm)
    assert bundle.reads_usage
    record = recorded(kit.hop(usage=BUSY), bundle, firm)
    assert isinstance(record, DecisionRecord)
    assert record.usage == BUSY
    assert msgspec.json.decode(encode(record))["usage"] == {"agent_requests_minute": 6}, "only what isn't 0"
    assert recorded(kit.hop(usage=BUSY), kit.loaded(kit.files(PERMIT), firm), firm).usage is None


def test_replay_is_exact_where_it_was_kept_and_says_so_where_it_was_not(kit, firm):
    reading, blind = kit.loaded(kit.files(PERMIT, MANY), firm), kit.loaded(kit.files(PERMIT), firm)
    stricter = kit.loaded(kit.files(PERMIT, MANY.replace("> 5", "> 3")), firm)
    kept = recorded(kit.hop(usage=FEW), reading, firm)
    unkept = recorded(kit.hop(usage=FEW), blind, firm)
    found = replayed(stricter, kept, kit.hop(usage=FEW), reading)
    assert (found.verdict, found.policies) == ("deny", ("many",))
    told = replayed(stricter, unkept, kit.hop(usage=FEW), blind)
    assert told == Undecidable("reads context.usage (many), which was not kept")
    # Whatever was used: nothing permits it, or something forbids it anyway.
    for texts in ((MANY,), (PERMIT, MANY, f'@id("never") forbid {SCOPE};')):
        both = kit.loaded(kit.files(*texts), firm)
        assert isinstance(replayed(both, unkept, kit.hop(usage=FEW), blind), Answer)


def replayed(bundle, record, hop, decided_by):
    """What ``bundle`` says of the record of a hop that another bundle decided."""
    known = pieces_of((piece.digest, piece.document) for piece in Keeper().pieces(hop, decided_by))
    return Replay(bundle, known).answer(record)


def test_a_diff_names_the_policies_that_could_read_what_is_not_recorded(kit, firm):
    blind, reading = kit.loaded(kit.files(PERMIT), firm), kit.loaded(kit.files(PERMIT, MANY), firm)
    story = retold(recorded(kit.hop(usage=FEW, user=None), blind, firm), firm, {})
    assert unknown_to(reading, story) == ("what was used lately is not recorded, and may be read by `many`",)
    story = retold(recorded(kit.hop(usage=FEW, user=None), reading, firm), firm, {})
    assert not [each for each in unknown_to(reading, story) if "lately" in each]


def test_what_was_used_can_be_described(kit, firm):
    bundle = kit.loaded(kit.files(PERMIT, MANY), firm)
    for usage, verdict in ({"agent_requests_minute": 6}, Deny), ({}, Permit):
        described = msgspec.convert(
            {"action": "invokeTool", "resource": "ledger/read_balance", "agent": "analyst", "usage": usage}, Described
        )
        assert isinstance(decide(hop_of(described, firm, {}, bundle, 0), bundle, firm, 1), verdict)
