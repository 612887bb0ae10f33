"""A third party's MCP server, asked with the gateway's own tokens of the third party's issuer: client credentials."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.core.reasons import Reason
from gateway.identity import upstream_oauth
from tests.company import Company
from tests.gateways import running
from tests.peers.oauth_issuer import oauth_issuer
from tests.ports import free_port
from tests.third_party import Tracker, client, served_tracker, tracker_company
from tests.wire.mcp_calls import answer_of, bare, call, post, refusal_of


def oauth_of(issuer: str, **more: Any) -> dict[str, Any]:
    return {
        "grant": "client_credentials",
        "issuer": issuer,
        "client_id": "hopgate",
        "client_secret": "file:tracker.secret",
        "scopes": ["issues"],
        **more,
    }


@asynccontextmanager
async def third_party(
    directory: Path, *, seconds: int = 600, known: dict[str, Any] | None = None, **oauth: Any
) -> AsyncIterator[tuple[Company, Tracker]]:
    """The third party; ``known`` is the client as its issuer knows it, ``oauth`` changes the registry."""
    ca, port = trustme.CA(), free_port()
    async with oauth_issuer([known or client()], ["issues"], seconds) as issuer:
        company = tracker_company(directory, port, oauth_of(issuer, **oauth), ca)
        tracker = Tracker(issuer, f"https://localhost:{port}/mcp", stateless=True)
        async with served_tracker(tracker, ca, port, directory):
            yield company, tracker


async def test_many_calls_at_once_fetch_one_token_which_is_all_that_the_third_party_sees(tmp_path: Path) -> None:
    async with third_party(tmp_path) as (company, tracker), running(company), bare(company, server="tracker") as wire:
        answers = await asyncio.gather(*(post(wire, call("whoami")) for _ in range(8)))
        sent = wire.http.headers["authorization"]
    assert [answer_of(answer)["result"]["structuredContent"] for answer in answers] == [{"result": "hopgate"}] * 8
    [token] = tracker.tokens
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"], claims["scope"]) == (tracker.issuer, tracker.url, "issues")
    assert all(headers["authorization"] != sent for headers in tracker.seen)
    assert not any("cert" in name or name.startswith("x-") for headers in tracker.seen for name in headers)
    [record] = {
        (r.upstream_credential, r.minted) for r in (f.record for f in company.records()) if hasattr(r, "minted")
    }
    assert record == ("oauth client_credentials", None)


async def test_a_token_near_its_end_is_replaced_first(tmp_path: Path) -> None:
    async with (
        third_party(tmp_path, seconds=upstream_oauth.MARGIN_SECONDS) as (company, tracker),
        running(company),
        bare(company, server="tracker") as wire,
    ):
        for _ in range(2):
            assert answer_of(await post(wire, call("whoami")))["result"]
    assert len(tracker.tokens) == 2


async def test_the_client_can_prove_itself_by_a_key(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    known = client(
        token_endpoint_auth_method="private_key_jwt",
        token_endpoint_auth_signing_alg="ES256",
        jwks={"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y}]},
    )
    (tmp_path / "client.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    async with (
        third_party(tmp_path, known=known, client_secret=None, client_key="file:client.pem") as (
            company,
            tracker,
        ),
        running(company),
        bare(company, server="tracker") as wire,
    ):
        assert answer_of(await post(wire, call("whoami")))["result"]
    assert len(tracker.tokens) == 1


async def test_a_refused_token_is_fetched_anew_once_and_the_call_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_oauth, "AGAIN_SECONDS", 0)
    async with third_party(tmp_path) as (company, tracker), running(company), bare(company, server="tracker") as wire:
        assert answer_of(await post(wire, call("whoami")))["result"]
        tracker.refused.update(tracker.tokens)
        assert answer_of(await post(wire, call("whoami")))["result"]
        assert len(tracker.tokens) == 2
        assert tracker.calls == ["whoami"] * 2
        asked = len(tracker.seen)
        tracker.closed = True
        assert refusal_of(await post(wire, call("whoami"))) == (502, 1502, Reason.UPSTREAM_CREDENTIAL)
    assert len(tracker.seen) == asked + 2
    assert tracker.calls == ["whoami"] * 2


async def test_a_young_token_that_is_refused_is_not_fetched_anew(tmp_path: Path) -> None:
    async with third_party(tmp_path) as (company, tracker), running(company), bare(company, server="tracker") as wire:
        tracker.closed = True
        assert refusal_of(await post(wire, call("whoami"))) == (502, 1502, Reason.UPSTREAM_CREDENTIAL)
        assert len(tracker.seen) == 1


async def test_an_issuer_that_refuses_or_is_away_ends_the_call_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_oauth, "FAILED_SECONDS", 0)
    async with third_party(tmp_path) as (company, tracker):
        (tmp_path / "tracker.secret").write_text("another secret, not the one that the issuer knows")
        async with running(company), bare(company, server="tracker") as wire:
            refused = await post(wire, call("whoami"))
            assert refusal_of(refused) == (502, 1502, Reason.UPSTREAM_CREDENTIAL)
            assert "invalid_client" in answer_of(refused)["error"]["message"]
            assert "another secret" not in refused.text
    assert tracker.seen == []
    company.registry["servers"]["tracker"]["upstream"]["oauth"]["issuer"] = f"http://127.0.0.1:{free_port()}"
    async with running(company), bare(company, server="tracker") as wire:
        away = await post(wire, call("whoami"))
        assert refusal_of(away) == (503, 1503, Reason.UPSTREAM_ISSUER_UNAVAILABLE)
    outcomes = [f.outcome.reason for f in company.records() if f.outcome is not None]
    assert outcomes == [Reason.UPSTREAM_CREDENTIAL, Reason.UPSTREAM_ISSUER_UNAVAILABLE]


async def test_policy_comes_first(tmp_path: Path) -> None:
    async with third_party(tmp_path) as (company, tracker):
        company.registry["servers"]["tracker"]["tools"]["whoami"]["sets"] = []
        async with running(company), bare(company, server="tracker") as wire:
            assert refusal_of(await post(wire, call("whoami"))) == (403, 1403, Reason.NO_PERMIT)
    assert tracker.seen == []


async def test_a_fixed_secret_goes_in_its_header_and_is_read_anew(tmp_path: Path) -> None:
    ca, port = trustme.CA(), free_port()
    key = {"header": "X-Api-Key", "value": "file:api.key"}
    company = tracker_company(tmp_path, port, None, ca, credential=key)
    (tmp_path / "api.key").write_text("first-key-of-the-tracker\n")
    tracker = Tracker("http://127.0.0.1:1", f"https://localhost:{port}/mcp", stateless=True)
    async with (
        served_tracker(tracker, ca, port, tmp_path),
        running(company),
        bare(company, server="tracker") as wire,
    ):
        refused = [refusal_of(await post(wire, call("whoami")))]
        (tmp_path / "api.key").write_text("second-key\n")
        refused.append(refusal_of(await post(wire, call("whoami"))))
    assert refused == [(502, 1502, Reason.UPSTREAM_CREDENTIAL)] * 2, "this tracker takes no keys"
    assert [headers["x-api-key"] for headers in tracker.seen] == ["first-key-of-the-tracker", "second-key"]
    assert not any("authorization" in headers for headers in tracker.seen)


@pytest.mark.parametrize("trusted", ["another", "none"])
async def test_a_server_with_another_certificate_is_sent_nothing(tmp_path: Path, trusted: str) -> None:
    async with third_party(tmp_path) as (company, tracker):
        if trusted == "another":
            trustme.CA().cert_pem.write_to_path(tmp_path / "third-party.pem")
        else:
            del company.registry["servers"]["tracker"]["upstream"]["ca_file"]
        async with running(company), bare(company, server="tracker") as wire:
            assert refusal_of(await post(wire, call("whoami"))) == (502, 1502, Reason.UPSTREAM_IDENTITY)
    assert tracker.seen == []
