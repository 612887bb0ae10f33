"""JWT authorities of an agent that comes, changes its mind and goes: what is told, and what stops counting."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from spiffe._proto import workload_pb2

from gateway.identity import jwt_bundle_source
from gateway.identity.jose import parse_compact
from gateway.identity.jwks import Keys
from gateway.identity.jwt_bundle_source import JwtBundleSource, _keys
from gateway.identity.workload_api import Backoff
from tests.identity.issuing import EC_KEY, RSA_KEY, by_hand, public_jwk, sign
from tests.identity.workload_stand_in import StandIn, stand_in

FAST = Backoff(least=0.01, most=0.02)


def bundles(**of: list[Any]) -> workload_pb2.JWTBundlesResponse:
    documents = {domain: json.dumps({"keys": keys}).encode() for domain, keys in of.items()}
    return workload_pb2.JWTBundlesResponse(bundles={f"spiffe://{name}.test": text for name, text in documents.items()})


class Told:
    """What the source said, and a way to wait for it."""

    def __init__(self) -> None:
        self.bundles: list[Mapping[str, Keys]] = []
        self.failures: list[str] = []
        self._changed = asyncio.Event()

    def on_bundles(self, found: Mapping[str, Keys]) -> None:
        self.bundles.append(found)
        self._changed.set()

    def on_failure(self, text: str) -> None:
        self.failures.append(text)
        self._changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                await self._changed.wait()
                self._changed.clear()


@asynccontextmanager
async def following(path: str) -> AsyncIterator[Told]:
    told = Told()
    source = JwtBundleSource(path, told.on_bundles, told.on_failure, FAST)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run())
        try:
            yield told
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def agent() -> AsyncIterator[StandIn]:
    with stand_in() as found:
        yield found


async def test_the_latest_bundles_of_every_domain_count(agent: StandIn) -> None:
    agent.say(bundles(a=[public_jwk(EC_KEY, "ec-1")], b=[public_jwk(RSA_KEY, "rsa-1")]))
    async with following(str(agent.socket)) as told:
        await told.until(lambda: len(told.bundles) == 1)
        first = told.bundles[0]
        assert first.keys() == {"a.test", "b.test"}
        assert first["a.test"].verify(parse_compact(sign({}, EC_KEY), 8192))
        assert first["b.test"].verify(parse_compact(sign({}, RSA_KEY), 8192))
        assert not first["a.test"].verify(parse_compact(sign({}, RSA_KEY), 8192))
        agent.say(bundles(a=[]))
        await told.until(lambda: len(told.bundles) == 2)
        assert len(told.bundles[1]["a.test"]) == 0
        assert told.failures == []


async def test_an_agent_that_goes_is_told_and_found_again(agent: StandIn) -> None:
    agent.say(bundles(a=[public_jwk(EC_KEY, "ec-1")]))
    async with following(str(agent.socket)) as told:
        await told.until(lambda: len(told.bundles) == 1)
        agent.stop()
        await told.until(lambda: len(told.failures) >= 1)
        assert told.failures[0].startswith(f"{agent.socket}: JWT bundles: ")
        assert len(told.failures[0]) <= len(f"{agent.socket}: JWT bundles: ") + 300
        agent.start()
        await told.until(lambda: len(told.bundles) >= 2)
        assert told.bundles[-1].keys() == {"a.test"}


async def test_what_an_agent_said_long_ago_no_longer_counts(agent: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.say(bundles(a=[public_jwk(EC_KEY, "ec-1")]))
    async with following(str(agent.socket)) as told:
        await told.until(lambda: len(told.bundles) == 1)
        agent.say(grpc.StatusCode.UNAVAILABLE)
        await told.until(lambda: len(told.failures) >= 2)
        assert len(told.bundles) == 1, "for a while the last ones do"
        monkeypatch.setattr(jwt_bundle_source, "STALE_SECONDS", -1.0)
        await told.until(lambda: len(told.bundles) >= 2)
        assert told.bundles[-1] == {}


def test_keys_of_any_other_kind_are_none() -> None:
    for key in (ed25519.Ed25519PrivateKey.generate().public_key(), "text"):
        assert len(_keys({"x": key})) == 0
    pair: dict[str, Any] = {"ec-1": EC_KEY.public_key(), "rsa-1": RSA_KEY.public_key()}
    found = _keys(pair)
    assert len(found) > 1
    assert found.knows("ec-1")
    assert found.knows("rsa-1")
    assert not found.knows("other")


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 3072)])
def test_keys_of_every_size_that_a_jwt_svid_may_have(key: Any) -> None:
    algorithm = "ES384" if isinstance(key, ec.EllipticCurvePrivateKey) else "PS512"
    header = json.dumps({"alg": algorithm, "kid": "k"}).encode()
    assert _keys({"k": key.public_key()}).verify(parse_compact(by_hand(header, b"{}", key, algorithm), 8192))
