import asyncio
import json
from pathlib import Path

import pytest

from gateway.core.errors import TokenError
from gateway.core.reasons import Reason
from gateway.identity.documents import DocumentError
from gateway.identity.issuers import Discovery, JwksFile, JwksUri
from gateway.identity.jose import parse_compact
from gateway.identity.keysets import MAX_AGE_SECONDS, MAX_STALE_SECONDS, REFETCH_SECONDS, KeySet, key_set
from tests.identity.issuing import EC_KEY, JWKS, NOW, Loads, issuer, sign

TOKEN = parse_compact(sign({}), 8192)
UNKNOWN = parse_compact(sign({}, header={"kid": "rsa-2"}), 8192)
DOWN = DocumentError("https://login.test/jwks answered 500")


class Harness:
    def __init__(self, answer: object = None) -> None:
        self.loads = Loads(answer)
        self.failures: list[str] = []
        self.keys = KeySet(issuer(), self.loads, lambda name, cause: self.failures.append(f"{name}: {cause}"))

    async def reason(self, token: object = TOKEN, at: int = NOW) -> Reason | None:
        try:
            await self.keys.verify(token, at)  # type: ignore[arg-type]
        except TokenError as error:
            return error.reason
        return None


async def test_fetched_once_and_kept() -> None:
    h = Harness()
    assert [await h.reason(at=NOW + second) for second in range(0, MAX_AGE_SECONDS, 60)] == [None] * 10
    assert h.loads.calls == 1


async def test_fetched_again_when_old() -> None:
    h = Harness()
    await h.reason()
    h.loads.answer = b'{"keys":[]}'
    assert await h.reason(at=NOW + MAX_AGE_SECONDS - 1) is None
    assert await h.reason(at=NOW + MAX_AGE_SECONDS) is Reason.TOKEN_SIGNATURE
    assert h.loads.calls == 2


async def test_unknown_kid_finds_a_rotated_key() -> None:
    h = Harness()
    assert await h.reason() is None
    rotated = [key | {"kid": "rsa-2"} for key in JWKS["keys"] if key["kty"] == "RSA"]
    h.loads.answer = json.dumps({"keys": rotated}).encode()
    assert await h.reason(UNKNOWN, NOW + REFETCH_SECONDS) is None
    assert await h.reason(TOKEN, NOW + REFETCH_SECONDS) is Reason.TOKEN_SIGNATURE


async def test_unknown_kids_cause_few_fetches() -> None:
    h = Harness()
    for second in range(60):
        token = parse_compact(sign({}, header={"kid": f"guess-{second}"}), 8192)
        assert await h.reason(token, NOW + second) is Reason.TOKEN_SIGNATURE
    assert h.loads.calls == 2


async def test_never_fetched_is_unavailable_not_a_bad_token() -> None:
    h = Harness(DOWN)
    assert await h.reason() is Reason.KEYS_UNAVAILABLE
    assert await h.reason(at=NOW + 1) is Reason.KEYS_UNAVAILABLE
    assert h.loads.calls == 1
    assert h.failures == ["corp: https://login.test/jwks answered 500"]
    h.loads.answer = json.dumps(JWKS).encode()
    assert await h.reason(at=NOW + REFETCH_SECONDS) is None


@pytest.mark.parametrize("answer", [DOWN, b"junk", b"{}", b'{"keys":1}'])
async def test_kept_keys_serve_while_fetching_fails_but_not_for_ever(answer: object) -> None:
    h = Harness()
    await h.reason()
    h.loads.answer = answer
    assert await h.reason(at=NOW + MAX_AGE_SECONDS) is None
    assert await h.reason(at=NOW + MAX_STALE_SECONDS - 1) is None
    assert await h.reason(at=NOW + MAX_STALE_SECONDS) is Reason.KEYS_UNAVAILABLE
    h.loads.answer = json.dumps(JWKS).encode()
    assert await h.reason(at=NOW + MAX_STALE_SECONDS + REFETCH_SECONDS) is None


async def test_unknown_kid_while_fetching_fails_is_undecided() -> None:
    h = Harness()
    await h.reason()
    h.loads.answer = DOWN
    assert await h.reason(UNKNOWN, NOW + REFETCH_SECONDS) is Reason.KEYS_UNAVAILABLE


async def test_many_at_once_fetch_once() -> None:
    h = Harness()
    assert set(await asyncio.gather(*(h.reason() for _ in range(20)))) == {None}
    assert h.loads.calls == 1


async def test_others_do_not_wait_for_a_refresh() -> None:
    h = Harness()
    await h.reason()
    release = asyncio.Event()

    async def slow() -> bytes:
        await release.wait()
        return json.dumps(JWKS).encode()

    h.keys._load = slow
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(h.reason(at=NOW + MAX_AGE_SECONDS))
        await asyncio.sleep(0)
        assert await h.reason(at=NOW + MAX_AGE_SECONDS) is None
        assert not first.done()
        release.set()
    assert first.result() is None


async def test_a_cancelled_fetch_leaves_no_lock() -> None:
    h = Harness()
    never = asyncio.Event()

    async def hang() -> bytes:
        await never.wait()
        return b""

    h.keys._load = hang
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await h.reason()
    h.keys._load = h.loads
    assert await h.reason(at=NOW + REFETCH_SECONDS) is None


async def test_wrong_signature() -> None:
    forged = parse_compact(sign({}, EC_KEY, {"alg": "RS256", "kid": "rsa-1"}), 8192)
    assert await Harness().reason(forged) is Reason.TOKEN_SIGNATURE


async def test_file_source(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    keys = key_set(issuer(source=JwksFile(file)), lambda *_: None)
    with pytest.raises(TokenError, match=r"jwks\.json: can't be read: No such file") as caught:
        await keys.verify(TOKEN, NOW)
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
    file.write_text(json.dumps(JWKS))
    await keys.verify(TOKEN, NOW + REFETCH_SECONDS)


@pytest.mark.parametrize(
    "change",
    [
        {"source": JwksUri("http://login.test/jwks")},
        {"source": JwksUri("http://127.0.0.1/jwks")},
        {"source": JwksUri("file:///etc/passwd")},
        {"source": Discovery(), "issuer": "http://login.test"},
    ],
)
def test_urls_that_may_not_be_fetched(change: dict[str, object]) -> None:
    with pytest.raises(DocumentError, match=r"not https|no plain https"):
        key_set(issuer(**change), lambda *_: None)


async def test_what_was_never_fetched_is_told_so() -> None:
    told: list[tuple[str, str]] = []
    keys = key_set(issuer(source=JwksUri("https://127.0.0.1:1/jwks")), lambda *what: told.append(what))
    with pytest.raises(TokenError) as caught:
        await keys.verify(parse_compact(sign({}), 8192), NOW)
    text = "https://127.0.0.1:1/jwks can't be fetched: ClientConnectorError"
    assert told == [("corp", text)]
    assert caught.value.detail == f"keys of issuer corp: {text}"
