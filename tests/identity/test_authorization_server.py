"""An authorization server as it is asked: by which client authentication, where, and what each failure tells."""

import base64
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from gateway.identity.authorization_server import AskError, AuthorizationServer, Endpoints, TokenAnswer
from tests.identity.issuer_stand_in import IssuerStandIn, issuer_stand_in

NOW = 1_800_000_000.7
FORM = {"grant_type": "client_credentials"}


def pem(key: Any, passphrase: bytes | None = None) -> bytes:
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def server(issuer: IssuerStandIn, secret: bytes = b"the secret", /, **more: Any) -> AuthorizationServer:
    return AuthorizationServer(issuer.client(**more), lambda _: secret, loopback_http=True)


async def failure(asked: Any) -> tuple[str, str, bool]:
    with pytest.raises(AskError) as failed:
        await asked
    return str(failed.value), failed.value.code, failed.value.unavailable


class TestAuthentication:
    @pytest.mark.parametrize(
        ("how", "form", "basic"),
        [
            ({"authentication": "none"}, {"client_id": "a b"}, None),
            ({"secret": None}, {"client_id": "a b"}, None),
            ({"authentication": "client_secret_post"}, {"client_id": "a b", "client_secret": "s:&+"}, None),
            ({}, {}, "a+b:s%3A%26%2B"),
        ],
    )
    async def test_by_secret(self, how: dict[str, Any], form: dict[str, str], basic: str | None) -> None:
        async with issuer_stand_in() as issuer:
            await server(issuer, b"s:&+", client_id="a b", **how).ask(FORM, NOW)
            assert issuer.posts == [{**FORM, **form}]
            headers = issuer.asked[-1][2]
        expected = None if basic is None else f"Basic {base64.b64encode(basic.encode()).decode()}"
        assert headers.get("Authorization") == expected
        assert (headers["Accept"], headers["Accept-Encoding"]) == ("application/json", "identity")
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert "Cookie" not in headers

    @pytest.mark.parametrize(
        ("key", "algorithm"),
        [
            (rsa.generate_private_key(65537, 2048), "RS256"),
            (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        ],
    )
    async def test_by_key(self, key: Any, algorithm: str) -> None:
        async with issuer_stand_in() as issuer:
            asked = server(issuer, pem(key), authentication="private_key_jwt")
            await asked.ask(FORM, NOW)
            await asked.ask(FORM, NOW)
            first, second = issuer.posts
            claims = jwt.decode(
                first.pop("client_assertion"),
                key.public_key(),
                [algorithm],
                audience=issuer.origin,
                options={"verify_exp": False, "verify_iat": False},
            )
            again = jwt.decode(second["client_assertion"], options={"verify_signature": False})
        assert first == {
            **FORM,
            "client_id": "hopgate",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        assert again["jti"] != claims.pop("jti")
        assert claims == {
            "iss": "hopgate",
            "sub": "hopgate",
            "aud": issuer.origin,
            "iat": 1_800_000_000,
            "exp": 1_800_000_060,
        }

    @pytest.mark.parametrize(
        ("secret", "text"),
        [
            (b"no key", "the key of client hopgate is not an unencrypted PEM private key"),
            (
                pem(ec.generate_private_key(ec.SECP256R1()), b"passphrase"),
                "the key of client hopgate is not an unencrypted PEM private key",
            ),
            (
                pem(ec.generate_private_key(ec.SECP384R1())),
                "the key of client hopgate is neither EC P-256 nor RSA",
            ),
            (pem(ed25519.Ed25519PrivateKey.generate()), "the key of client hopgate is neither EC P-256 nor RSA"),
        ],
    )
    async def test_a_key_that_is_none_is_told(self, secret: bytes, text: str) -> None:
        async with issuer_stand_in() as issuer:
            asked = server(issuer, secret, authentication="private_key_jwt").ask(FORM, NOW)
            assert await failure(asked) == (text, "", False)
            assert issuer.posts == []

    async def test_a_secret_that_no_header_can_carry_is_told(self) -> None:
        async with issuer_stand_in() as issuer:
            asked = server(issuer, "é".encode()).ask(FORM, NOW)
            assert await failure(asked) == ("the secret of client hopgate is not ASCII", "", False)


class TestAnswers:
    @pytest.mark.parametrize(
        ("said", "answer"),
        [
            ({}, TokenAnswer("t", None)),
            ({"expires_in": 7, "refresh_token": "r", "id_token": "i"}, TokenAnswer("t", 7, "r", "i")),
            ({"expires_in": 0}, TokenAnswer("t", None)),
            ({"expires_in": True}, TokenAnswer("t", None)),
            ({"expires_in": "7"}, TokenAnswer("t", None)),
            ({"token_type": "bEARER", "refresh_token": "a b", "id_token": ""}, TokenAnswer("t", None)),
            ({"refresh_token": "r" * 8193, "id_token": "i" * 8192}, TokenAnswer("t", None, None, "i" * 8192)),
        ],
    )
    async def test_what_is_read(self, said: dict[str, Any], answer: TokenAnswer) -> None:
        async with issuer_stand_in() as issuer:
            issuer.answer = ({"access_token": "t", "token_type": "Bearer"} | said, 200, {})
            assert await server(issuer).ask(FORM, NOW) == answer
        assert repr(answer) == "TokenAnswer()"

    @pytest.mark.parametrize(
        ("answer", "text", "code", "unavailable"),
        [
            (({"error": "invalid_client"}, 401, {}), "answered 401 invalid_client", "invalid_client", False),
            (({"error": "e" * 65}, 400, {}), "answered 400", "", False),
            (({"error": "Not_A_Code"}, 400, {}), "answered 400", "", False),
            (({"error": 7}, 499, {}), "answered 499", "", False),
            (({}, 500, {}), "answered 500", "", True),
            ((b"<html>", 503, {}), "answered 503", "", True),
            ((b"<html>", 200, {}), "answered without a bearer token", "", False),
            (({"access_token": "t", "token_type": 7}, 200, {}), "answered without a bearer token", "", False),
            (
                (b"{}", 200, {"Content-Encoding": "br"}),
                "answered compressed although identity was asked for",
                "",
                False,
            ),
        ],
    )
    async def test_what_a_failure_tells(self, answer: Any, text: str, code: str, unavailable: bool) -> None:
        async with issuer_stand_in() as issuer:
            issuer.answer = answer
            told = await failure(server(issuer).ask(FORM, NOW))
            assert told == (f"{issuer.origin}/token {text}", code, unavailable)

    async def test_nobody_listens(self) -> None:
        async with issuer_stand_in() as issuer:
            asked = server(issuer, token_endpoint="http://127.0.0.1:1/token").ask(FORM, NOW)
            assert await failure(asked) == (
                "http://127.0.0.1:1/token can't be asked: ClientConnectorError", "", True,
            )  # fmt: skip


class TestEndpoints:
    @pytest.mark.parametrize(
        ("configured", "found", "asks"),
        [
            ({}, ("{own}/token", ""), True),
            ({"grant": "authorization_code"}, ("{own}/token", "{own}/auth"), True),
            ({"token_endpoint": "{own}/t"}, ("{own}/t", ""), False),
            ({"token_endpoint": "{own}/t", "grant": "authorization_code"}, ("{own}/t", "{own}/auth"), True),
            ({"authorization_endpoint": "{own}/a"}, ("{own}/token", "{own}/a"), True),
            (
                {"token_endpoint": "{own}/t", "authorization_endpoint": "{own}/a", "grant": "authorization_code"},
                ("{own}/t", "{own}/a"),
                False,
            ),
        ],
    )
    async def test_configured_ones_count_first(
        self, configured: dict[str, str], found: tuple[str, str], asks: bool
    ) -> None:
        async with issuer_stand_in() as issuer:
            fill: Callable[[str], str] = lambda text: text.format(own=issuer.origin)  # noqa: E731
            asked = server(issuer, **{name: fill(value) for name, value in configured.items()})
            assert await asked.endpoints(NOW) == Endpoints(*map(fill, found), says_iss=False)
            assert bool(issuer.asked) is asks

    @pytest.mark.parametrize(("said", "says"), [(True, True), (False, False), ("true", False), (1, False)])
    async def test_whether_its_answers_name_it(self, said: object, says: bool) -> None:
        async with issuer_stand_in() as issuer:
            issuer.metadata["authorization_response_iss_parameter_supported"] = said
            assert (await server(issuer).endpoints(NOW)).says_iss is says

    async def test_they_are_looked_up_again_after_ten_minutes(self) -> None:
        async with issuer_stand_in() as issuer:
            asked = server(issuer)
            for now, looked in ((NOW, 1), (NOW + 599, 1), (NOW + 600, 2), (NOW + 599, 3)):
                await asked.endpoints(now)
                assert len(issuer.asked) == looked

    @pytest.mark.parametrize(
        ("metadata", "text"),
        [
            ({"token_endpoint": None}, "the metadata of {own} names no token_endpoint"),
            (
                {"token_endpoint": "{own}/token?x=1"},
                "the token_endpoint of {own} is elsewhere; configure token_endpoint if it is right",
            ),
            ({"token_endpoint": "x"}, "'x' is no plain https URL"),
        ],
    )
    async def test_what_metadata_may_not_say(self, metadata: dict[str, Any], text: str) -> None:
        async with issuer_stand_in() as issuer:
            filled = {k: v.format(own=issuer.origin) if isinstance(v, str) else v for k, v in metadata.items()}
            issuer.metadata |= filled
            told = await failure(server(issuer).endpoints(NOW))
            assert told == (text.format(own=issuer.origin), "", True)

    async def test_each_place_says_why_it_has_none(self) -> None:
        async with issuer_stand_in() as issuer:
            issuer.metadata["issuer"] = "https://other.test"
            told, own = await failure(server(issuer).endpoints(NOW)), issuer.origin
        places = "openid-configuration", "oauth-authorization-server"
        causes = [f"{own}/.well-known/{place} is the metadata of another issuer" for place in places]
        assert told == ("; ".join(causes), "", True)

    async def test_a_ca_file_that_is_gone_is_named(self) -> None:
        async with issuer_stand_in() as issuer:
            asked = server(issuer, ca_file="/gone/ca.pem").endpoints(NOW)
            assert await failure(asked) == ("/gone/ca.pem: No such file or directory", "", True)
