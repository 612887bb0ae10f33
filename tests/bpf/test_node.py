"""A push is in force whole, or nothing of it is: whatever is wrong, and whenever it fails."""

import asyncio
import json
import os
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopgate_bpf.node.kept import StateFolder
from hopgate_bpf.node.node import Node
from hopgate_bpf.rules.names import Answer
from hopgate_bpf.rules.refusal import Reason, RefusedError
from tests.bpf.documents import Signer, class_rules, document, network, written
from tests.bpf.kernel import Kernel, Zone
from tests.bpf.nodes import Place

FIRST, SECOND = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")


def answer(*addresses: IPv4Address, ttl: float = 60) -> Answer:
    return Answer(frozenset(addresses), ttl)


async def refused(node: Node, jws: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await node.push(jws)
    return caught.value


def reaches(place: Place, address: IPv4Address) -> bool:
    assert place.kernel.in_force
    return place.kernel.in_force.classes["data-analyst"].allows("network", address, 443, "tcp")


async def test_a_push_is_in_force_and_acknowledged(place: Place) -> None:
    node = await place.started()
    done = await node.push(place.signer.signed(document(generation=3)))
    assert (done.generation, done.node, done.repeated, done.anchors_missing) == (3, "worker-1", False, 1)
    assert place.kernel.generation == 3
    status = await node.status()
    assert (status.generation, status.agrees, status.problem) == (3, True, "")
    assert status.sha256 == done.sha256


async def test_generations_only_grow_also_after_a_restart(place: Place) -> None:
    node = await place.started()
    await node.push(place.signer.signed(document(generation=5)))
    for again in (node, await place.started()):
        error = await refused(again, place.signer.signed(document(generation=4)))
        assert (error.reason, error.path) == (Reason.GENERATION_OLD, "$.generation")
    assert place.kernel.generation == 5
    place.kernel = Kernel()
    await place.started()
    assert place.kernel.generation == 5, "what was accepted is in force after a restart of the host"


async def test_a_generation_of_the_kernels_is_not_undone_where_the_state_was_lost(place: Place) -> None:
    node = await place.started()
    await node.push(place.signer.signed(document(generation=5)))
    (place.folder / "state" / "accepted.json").unlink()
    again = await place.started()
    assert (await refused(again, place.signer.signed(document(generation=4)))).reason is Reason.GENERATION_OLD
    await again.push(place.signer.signed(document(generation=5)))


async def test_the_same_document_again_is_applied_again_and_another_one_of_its_generation_is_not(place: Place) -> None:
    node = await place.started()
    jws = place.signer.signed(document(generation=2))
    await node.push(jws)
    assert (await node.push(jws)).repeated
    assert len(place.kernel.images) == 2
    other = place.signer.signed(document(class_rules(spawn=False), generation=2))
    assert (await refused(node, other)).reason is Reason.GENERATION_CONFLICT
    assert len(place.kernel.images) == 2


async def test_a_document_for_another_node_is_refused(place: Place) -> None:
    error = await refused(await place.started(), place.signer.signed(document(node="worker-2")))
    assert (error.reason, error.path) == (Reason.NODE_OTHER, "$.node")


async def test_keys_are_read_at_each_push(place: Place) -> None:
    node = await place.started()
    new = Signer()
    assert (await refused(node, new.signed(document()))).reason is Reason.SIGNATURE_INVALID
    place.pin(new)
    await node.push(new.signed(document()))
    (place.folder / "gateway.jwks").unlink()
    assert (await refused(node, new.signed(document(generation=2)))).reason is Reason.KEYS_UNREADABLE


async def test_what_was_accepted_under_a_key_that_is_pinned_no_more_is_not_applied_again(place: Place) -> None:
    await (await place.started()).push(place.signer.signed(document(generation=2)))
    place.kernel = Kernel()
    place.pin(Signer())
    node = await place.started()
    assert place.kernel.images == []
    status = await node.status()
    assert not status.agrees
    assert "generation 2 was accepted, but is not applied" in status.problem


async def test_the_loaders_refusal_leaves_everything_as_it_was(place: Place) -> None:
    node = await place.started()
    await node.push(place.signer.signed(document(generation=1)))
    place.kernel.refusal, place.kernel.refuses = "maps are full", frozenset({"apply"})
    error = await refused(node, place.signer.signed(document(generation=2)))
    assert error.reason is Reason.LOADER_REFUSED
    assert "maps are full" in error.detail
    assert (await node.status()).generation == 1
    kept = StateFolder(place.folder / "state").accepted()
    assert kept is not None
    assert kept.generation == 1
    assert {each.name for each in (place.folder / "state").iterdir()} == {"accepted.json"}
    place.kernel.refusal = ""
    await node.push(place.signer.signed(document(generation=2)))


async def test_nothing_is_applied_that_cannot_be_kept(place: Place) -> None:
    node = await place.started()
    (place.folder / "state").rmdir()
    assert (await refused(node, place.signer.signed(document()))).reason is Reason.STATE_UNWRITABLE
    assert place.kernel.images == []


async def test_what_the_loader_refuses_at_the_start_is_tried_again(place: Place) -> None:
    await (await place.started()).push(place.signer.signed(document(generation=2)))
    place.kernel = Kernel()
    place.kernel.refusal, place.kernel.refuses = "no memory", frozenset({"apply"})
    node = await place.started()
    status = await node.status()
    assert (status.generation, status.agrees) == (2, False)
    assert "generation 2 was accepted, but is not applied: apply: no memory" in status.problem
    place.kernel.refusal = ""
    assert await node.refresh()
    status = await node.status()
    assert (status.agrees, status.problem, place.kernel.generation) == (True, "", 2)


@pytest.mark.parametrize("content", ["", "{", '{"schema":"x"}', "\0" * 100])
async def test_state_that_cannot_be_read_stops_the_start(place: Place, content: str) -> None:
    (place.folder / "state" / "accepted.json").write_text(content)
    with pytest.raises(RefusedError, match=r"accepted\.json") as caught:
        await place.started()
    assert caught.value.reason is Reason.STATE_UNREADABLE


async def test_state_that_was_tampered_with_is_not_applied(place: Place) -> None:
    await (await place.started()).push(place.signer.signed(document(generation=2)))
    file = place.folder / "state" / "accepted.json"
    kept = json.loads(file.read_text())
    kept["jws"] = Signer().signed(document(generation=2)).decode()
    file.write_text(json.dumps(kept))
    place.kernel = Kernel()
    assert "signature" in (await (await place.started()).status()).problem
    assert place.kernel.images == []


async def test_names_follow_their_answers_with_a_grace_period(place: Place) -> None:
    place.zone = Zone({"models.example": answer(FIRST)})
    node = await place.started()
    rules = class_rules(network=[network("permit", "models.example", 443)])
    await node.push(place.signer.signed(document(rules)))
    assert (reaches(place, FIRST), reaches(place, SECOND)) == (True, False)
    place.zone.answers["models.example"] = answer(SECOND)
    assert not await node.refresh(), "its time to live isn't over"
    place.now += 60
    assert await node.refresh()
    assert (reaches(place, FIRST), reaches(place, SECOND)) == (True, True)
    assert (await node.status()).names["models.example"].in_grace == 1
    place.now += 601
    assert await node.refresh()
    assert (reaches(place, FIRST), reaches(place, SECOND)) == (False, True)
    assert place.kernel.generation == 1


async def test_a_name_that_cannot_be_looked_up_permits_nothing_and_the_answer_says_so(place: Place) -> None:
    node = await place.started()
    rules = class_rules(network=[network("permit", "models.example", 443)])
    done = await node.push(place.signer.signed(document(rules)))
    assert done.narrowed == {"data-analyst": ("models.example is unknown: nothing is permitted there",)}
    assert (await node.status()).names["models.example"].failure == "no answer"


async def test_lookups_of_one_push_take_a_bounded_time(place: Place) -> None:
    node = await place.started()
    names = [f"slow-{number}.example" for number in range(100)]

    async def lookup(host: str) -> Answer:
        place.now += 4
        return answer(FIRST)

    place.zone.lookup = lookup  # type: ignore[method-assign]
    await node.push(place.signer.signed(document(class_rules(network=[network("permit", name) for name in names]))))
    standing = (await node.status()).names
    assert len(standing) == 100
    assert {each.failure for each in standing.values()} == {"", "not reached in time"}


async def test_names_are_followed_in_the_background(place: Place) -> None:
    place.more = {"names": {"ttl_floor_seconds": 0.01, "retry_seconds": 0.01}}
    place.zone = Zone({})
    node = await place.started()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        following = group.create_task(node.follow())
        rules = class_rules(network=[network("permit", "models.example", 443)])
        await node.push(place.signer.signed(document(rules)))
        place.zone.answers["models.example"] = answer(FIRST)
        place.now += 60
        while not reaches(place, FIRST):
            await asyncio.sleep(0)
            place.now += 1
        following.cancel()


async def test_a_refresh_that_the_loader_refuses_is_a_problem_of_the_status(place: Place) -> None:
    place.zone = Zone({"models.example": answer(FIRST)})
    node = await place.started()
    await node.push(place.signer.signed(document(class_rules(network=[network("permit", "models.example")]))))
    place.zone.answers["models.example"] = answer(SECOND)
    place.now += 60
    place.kernel.refusal, place.kernel.refuses = "no memory", frozenset({"apply"})
    assert not await node.refresh()
    assert "is not applied: apply: no memory" in (await node.status()).problem
    place.kernel.refusal = ""
    place.now += 60
    assert await node.refresh()
    assert (await node.status()).problem == ""


async def test_policies_are_named_by_their_numbers_while_their_generation_is_in_force(place: Place) -> None:
    node = await place.started()
    await node.push(place.signer.signed(document(class_rules(policies=["a", "b"]), generation=4)))
    assert node.policy_of("data-analyst", 1, 4) == "b"
    assert [node.policy_of(*asked) for asked in (("data-analyst", 2, 4), ("other", 0, 4), ("data-analyst", 0, 3))] == [
        None
    ] * 3


SIGNER = Signer()
GOOD = [SIGNER.signed(document(class_rules(spawn=bool(spawn)), generation=g)) for g in (1, 2, 3) for spawn in (0, 1)]
BAD = [
    b"",
    b"x.y.z",
    Signer().signed(document(generation=9)),
    SIGNER.sign(b"{}"),
    SIGNER.sign(written(document(generation=9))[:-1]),
    SIGNER.signed(document(generation=9, node="other")),
    SIGNER.signed(document(class_rules(policies=[], network=[network("permit", None)]), generation=9)),
]
pushes = st.one_of(
    st.sampled_from(GOOD), st.sampled_from(BAD), st.binary(max_size=20), st.just("restart"), st.just("broken")
)


@given(pushed=st.lists(pushes, min_size=1, max_size=8))
def test_any_pushes_leave_one_whole_generation_in_force_and_it_never_falls(
    tmp_path_factory: pytest.TempPathFactory, pushed: list[Any]
) -> None:
    asyncio.run(any_pushes(Place(tmp_path_factory.mktemp("node"), SIGNER), pushed))


async def any_pushes(place: Place, pushed: list[Any]) -> None:
    node, accepted = await place.started(), None
    for each in pushed:
        before = place.kernel.generation
        if each == "restart":
            node = await place.started()
        elif each == "broken":
            place.kernel.refusal, place.kernel.refuses = "broken", frozenset({"apply"})
            continue
        else:
            try:
                accepted = (await node.push(each)).sha256
            except RefusedError as refusal:
                assert place.kernel.generation == before, refusal
        place.kernel.refusal = ""
        assert place.kernel.generation >= before
        status = await node.status()
        assert status.sha256 == (accepted or "")
        assert status.generation == place.kernel.generation
        kept = StateFolder(Path(place.settings.state)).accepted()
        assert (kept.sha256 if kept else None) == accepted
    assert not [name for name in os.listdir(place.settings.state) if name.startswith(".")]
