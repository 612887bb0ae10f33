"""Generated keys over real stores: replicas agree at any moment, whatever step one of them dies at."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import key_schedule
from gateway.core.key_schedule import KEPT_SECONDS, SKEW_SECONDS, Rotation, SealedKey
from gateway.identity.jose import parse_compact
from gateway.identity.key_ring import Halves, KeyRing
from gateway.identity.seal import AeadSealer
from gateway.identity.signer import Signer
from gateway.identity.signing_key import Algorithm, SigningKeyError
from gateway.store.sealed_keys import SqlSealedKeys
from gateway.store.state import open_state

NOW = 1_800_000_000
ROTATION = Rotation(every=86_400, lead=900)
SECRET = b"s" * 32


class Clock:
    """Unix seconds that a test moves."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class DiedError(Exception):
    """The process is gone."""


class Dying:
    """A store whose process dies before its ``steps``-th question."""

    def __init__(self, store: SqlSealedKeys, steps: int) -> None:
        self._store = store
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        if self._steps == 0:
            raise DiedError
        self._steps -= 1
        return getattr(self._store, name)


class Replica:
    """One process on the store."""

    def __init__(self, engine: Any, clock: Clock, secret: bytes = SECRET, algorithm: Algorithm = "ES256") -> None:
        self.store = SqlSealedKeys(engine)
        self._parts = (AeadSealer(secret), algorithm, ROTATION, clock)
        self.ring = KeyRing(self.store, *self._parts)

    async def turn(self) -> Signer:
        return (await self.ring.turn()).signer

    async def die(self, steps: int, what: str = "turn") -> bool:
        """Do it in a process that dies after so many steps; whether it did die."""
        try:
            await getattr(KeyRing(Dying(self.store, steps), *self._parts), what)()
        except DiedError:
            return True
        return False


@asynccontextmanager
async def replicas(path: Path, count: int, clock: Clock, **options: Any) -> AsyncIterator[list[Replica]]:
    engines = [await open_state(f"sqlite:///{path / 'hopgate.db'}") for _ in range(count)]
    try:
        yield [Replica(engine, clock, **options) for engine in engines]
    finally:
        for engine in engines:
            await engine.dispose()


def accepts(signer: Signer, token: str) -> bool:
    return signer.verification_keys.verify(parse_compact(token, 8192))


async def test_many_replicas_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    async with replicas(tmp_path, 6, Clock()) as many:
        signers = await asyncio.gather(*(each.turn() for each in many))
        assert len({signer.kid for signer in signers}) == 1
        assert len({str(signer.jwks()) for signer in signers}) == 1
        assert len(await many[0].store.all()) == 1


async def test_a_key_is_published_before_it_signs_and_after(tmp_path: Path) -> None:
    clock = Clock()
    async with replicas(tmp_path, 2, clock) as (one, other):
        first = (await one.turn()).kid
        clock.now += ROTATION.every - ROTATION.lead - 1
        assert [jwk["kid"] for jwk in (await other.turn()).jwks()["keys"]] == [first]
        clock.now += 1
        waiting = await other.turn()
        assert waiting.kid == first
        (second,) = {jwk["kid"] for jwk in waiting.jwks()["keys"]} - {first}
        clock.now += ROTATION.lead
        for each in (one, other):
            signer = await each.turn()
            assert [jwk["kid"] for jwk in signer.jwks()["keys"]] == [second, first]
        clock.now += KEPT_SECONDS - 1
        assert len((await one.turn()).jwks()["keys"]) == 2
        clock.now += 1
        assert [jwk["kid"] for jwk in (await one.turn()).jwks()["keys"]] == [second]
        assert [key.kid for key in await one.store.all()] == [second]


async def test_the_private_half_of_a_replaced_key_leaves_the_store(tmp_path: Path) -> None:
    clock = Clock()
    async with replicas(tmp_path, 1, clock) as (one,):
        token = (await one.turn()).sign({})
        (before,) = await one.store.all()
        clock.now += ROTATION.every
        await one.turn()
        clock.now += ROTATION.lead + SKEW_SECONDS
        assert accepts(await one.turn(), token)
        after = (await one.store.all())[0]
        assert (after.kid, len(after.sealed) < len(before.sealed)) == (before.kid, True)
        assert b"PRIVATE" in (AeadSealer(SECRET).open(before.sealed, context(before)) or b"")
        assert b"PRIVATE" not in (AeadSealer(SECRET).open(after.sealed, context(after)) or b"PRIVATE")


def context(key: SealedKey) -> bytes:
    return f"signing key {key.number} {key.kid} {key.made_at} {key.signs_from}".encode()


async def test_a_gateway_that_slept_through_rotations_gives_notice_first(tmp_path: Path) -> None:
    clock = Clock()
    async with replicas(tmp_path, 1, clock) as (one,):
        first = (await one.turn()).kid
        clock.now += 100 * ROTATION.every
        assert (await one.turn()).kid == first
        clock.now += ROTATION.lead
        assert (await one.turn()).kid != first


async def test_rotation_out_of_turn_gives_notice_too_and_is_asked_once(tmp_path: Path) -> None:
    clock = Clock()
    async with replicas(tmp_path, 2, clock) as (one, other):
        first = (await one.turn()).kid
        made = await other.ring.rotate()
        assert made is not None
        assert (made.signs_from, await one.ring.rotate()) == (NOW + ROTATION.lead, None)
        assert (await one.turn()).kid == first
        clock.now += ROTATION.lead
        assert (await one.turn()).kid == (await other.turn()).kid == made.kid


async def test_a_new_beginning_distrusts_at_once_everywhere(tmp_path: Path) -> None:
    clock = Clock()
    async with replicas(tmp_path, 2, clock) as (one, other):
        stolen = await one.turn()
        await other.turn()
        made = await other.ring.begin_anew()
        for each in (one, other):
            turn = await each.ring.turn()
            assert (turn.signer.kid, turn.distrusted) == (made.kid, {stolen.kid})
            assert [jwk["kid"] for jwk in turn.signer.jwks()["keys"]] == [made.kid]
            assert not accepts(turn.signer, stolen.sign({}))
        assert [key.sealed == "" for key in await one.store.all()] == [True, False]
        clock.now += KEPT_SECONDS
        await one.turn()
        assert [key.kid for key in await one.store.all()] == [made.kid]


async def test_many_new_beginnings_at_once_leave_one_key(tmp_path: Path) -> None:
    async with replicas(tmp_path, 4, Clock()) as many:
        await many[0].turn()
        await asyncio.gather(*(each.ring.begin_anew() for each in many))
        assert len({str((await each.turn()).jwks()) for each in many}) == 1
        assert len(key_schedule.trusted(await many[0].store.all())) == 1


async def test_the_algorithm_changes_with_the_next_key(tmp_path: Path) -> None:
    clock = Clock()
    async with replicas(tmp_path, 1, clock) as (one,), replicas(tmp_path, 1, clock, algorithm="EdDSA") as (other,):
        token = (await one.turn()).sign({"n": 1})
        assert (await other.turn()).algorithm == "ES256"
        await other.ring.rotate()
        clock.now += ROTATION.lead
        signer = await one.turn()
        assert signer.algorithm == "EdDSA"
        assert accepts(signer, token)
        assert accepts(await other.turn(), signer.sign({"n": 2}))


async def test_another_secret_opens_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    async with (
        replicas(tmp_path, 1, Clock()) as (one,),
        replicas(tmp_path, 1, Clock(), secret=b"t" * 32) as (stranger,),
    ):
        signer = await one.turn()
        with pytest.raises(SigningKeyError, match=f"does not open signing key {signer.kid} .* --now"):
            await stranger.turn()
        await stranger.ring.begin_anew()
        assert (await stranger.turn()).kid != signer.kid
        with pytest.raises(SigningKeyError):
            await one.turn()


@pytest.mark.parametrize(
    "change",
    [
        {"sealed": "AAAA"},
        {"signs_from": NOW - 86_400},
        {"made_at": NOW - 1},
        {"number": 7},
        {"kid": "planted"},
    ],
)
async def test_who_can_write_to_the_store_can_plant_no_key(tmp_path: Path, change: dict[str, Any]) -> None:
    """Neither one of their own, nor an old one at another place or time: none of it is published."""
    clock = Clock()
    async with replicas(tmp_path, 1, clock) as (one,):
        await one.turn()
        planted = msgspec.structs.replace((await one.ring.rotate()) or SealedKey(), **change)
        await one.store.forget([2])
        await one.store.add(planted)
        turn = None
        try:
            turn = await one.ring.turn()
        except SigningKeyError:
            return
        assert planted.kid not in {jwk["kid"] for jwk in turn.signer.jwks()["keys"]}
        assert turn.unreadable == (planted.kid,)


ACTIONS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 59, 400, 900, 3000, 3661, 40_000, 86_400])),
    st.tuples(st.sampled_from(["turn", "rotate", "begin_anew"]), st.integers(0, 1)),
    st.tuples(st.sampled_from(["die-turn", "die-rotate", "die-begin_anew"]), st.integers(0, 4)),
)


@settings(max_examples=min(40, settings.default.max_examples))
@given(st.lists(ACTIONS, max_size=14))
def test_whatever_happens_replicas_agree_and_what_they_signed_is_accepted(actions: list[tuple[str, int]]) -> None:
    """Dying at any step, between any two: the next turn finds one usable set, and honours the promises of the last."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_play(Path(directory), actions))


async def _play(path: Path, actions: list[tuple[str, int]]) -> None:
    clock = Clock()
    async with replicas(path, 2, clock) as both:
        promised: dict[str, tuple[int, str]] = {}
        seen: dict[str, int] = {}
        for action, argument in [*actions, ("turn", 0)]:
            if action == "wait":
                # A running gateway turns more often than anything happens; so must its replicas here.
                clock.now += argument
            elif action.startswith("die-"):
                await both[0].die(argument, action.removeprefix("die-"))
            elif action != "turn":
                await getattr(both[argument].ring, action)()
            await _check(both, int(clock.now), promised, seen)


async def _check(both: list[Replica], now: int, promised: dict[str, tuple[int, str]], seen: dict[str, int]) -> None:
    turns = [await each.ring.turn() for each in both]
    turns[0] = await both[0].ring.turn()
    signers = [turn.signer for turn in turns]
    assert signers[0].jwks() == signers[1].jwks()
    assert signers[0].kid == signers[1].kid
    keys = {key.kid: key for key in await both[0].store.all()}
    newcomers = [kid for kid in keys if kid not in seen]
    for kid in newcomers:
        seen[kid] = now
    key = keys[signers[0].kid]
    # Known to whoever asked for the keys, before it signs; but for the first one and a new beginning.
    begun_anew = all(other.distrusted_at for other in keys.values() if other.number < key.number)
    assert begun_anew or key.signs_from - key.made_at >= ROTATION.lead
    for kid, (until, token) in list(promised.items()):
        distrusted = kid in keys and keys[kid].distrusted_at
        if now < until and not distrusted:
            assert accepts(signers[0], token)
        if distrusted:
            assert not accepts(signers[0], token)
    promised[signers[0].kid] = (now + 3600, signers[0].sign({"at": now}))


def test_the_oldest_key_serves_while_the_clock_is_behind() -> None:
    key = SealedKey(number=1, kid="k", algorithm="ES256", sealed="", made_at=NOW, signs_from=NOW)
    assert key_schedule.current([key], NOW - 50) == key
    assert key_schedule.published([key], NOW - 50) == (key,)
    assert key_schedule.due([key], NOW - 50, ROTATION) is None


@pytest.mark.parametrize("call", [lambda signer: signer.sign({}), lambda signer: signer.sign_bytes(b"", {})])
async def test_a_signer_whose_keys_may_not_be_used_signs_nothing(
    tmp_path: Path, call: Callable[[Signer], object]
) -> None:
    def refuse() -> None:
        raise SigningKeyError("stale")

    async with replicas(tmp_path, 1, Clock()) as (one,):
        ring = KeyRing(one.store, AeadSealer(SECRET), "ES256", ROTATION, Clock(), refuse)
        signer = (await ring.turn()).signer
        with pytest.raises(SigningKeyError, match="stale"):
            call(signer)


def test_halves_show_nothing() -> None:
    assert repr(Halves({"kid": "k"}, "a private key")) == "Halves()"
