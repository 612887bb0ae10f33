"""A development OIDC issuer: discovery document, JWKS, and RS256 access tokens for the demo's one person.

It has no login and no token endpoint: whoever holds its key file mints. Not for any other use.
"""

import argparse
import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.company import CLIENT, MARIA, SCOPE, Person

TOKEN_SECONDS = 600


@dataclass(frozen=True)
class Issuer:
    """An issuer at ``url`` that signs with one RSA key."""

    url: str
    key: rsa.RSAPrivateKey

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The public key as a JWK whose ``kid`` is its RFC 7638 thumbprint."""
        jwk = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        members = {name: jwk[name] for name in ("e", "kty", "n")}
        digest = hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest()
        kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return {**members, "kid": kid, "use": "sig", "alg": "RS256"}

    def mint(self, person: Person, resource: str, client: str, scope: str, seconds: int = TOKEN_SECONDS) -> str:
        """An RFC 9068 access token for ``resource`` (one audience), good for ``seconds``."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": person.subject,
            "aud": resource,
            "azp": client,
            "client_id": client,
            "scope": scope,
            "email": person.email,
            "groups": list(person.groups),
            "roles": list(person.roles),
            "iat": now,
            "exp": now + seconds,
            "jti": secrets.token_hex(8),
        }
        header = {"typ": "at+jwt", "kid": self.public_jwk["kid"]}
        return jwt.encode(claims, self.key, algorithm="RS256", headers=header)

    def app(self) -> Starlette:
        """Discovery document and JWKS."""
        document = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

        async def discovery(_: Request) -> JSONResponse:
            return JSONResponse(document)

        async def jwks(_: Request) -> JSONResponse:
            return JSONResponse({"keys": [self.public_jwk]})

        return Starlette(routes=[Route("/.well-known/openid-configuration", discovery), Route("/jwks", jwks)])


def create_key(path: Path) -> None:
    """Write a new RSA key as PEM, readable by the owner only."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.touch(mode=0o600)
    path.write_bytes(pem)


def load(url: str, key_file: Path) -> Issuer:
    """The issuer whose key is in ``key_file``."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{key_file}: not an RSA key")
    return Issuer(url, key)


def main() -> None:
    """``serve`` on loopback until stopped, or print a ``token`` of Maria's for one resource."""
    parser = argparse.ArgumentParser(prog="python -m demo.issuer", description="development OIDC issuer of the demo")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve discovery document and JWKS")
    serve.add_argument("--port", type=int, required=True)
    token = commands.add_parser("token", help="print an access token of Maria's")
    token.add_argument("--url", required=True, help="the issuer's URL")
    token.add_argument("--resource", required=True, help="the route that the token is for")
    for command in (serve, token):
        command.add_argument("--key", type=Path, required=True, help="the issuer's private key, PEM")
    options = parser.parse_args()
    if options.command == "token":
        print(load(options.url, options.key).mint(MARIA, options.resource, CLIENT, SCOPE))
        return
    issuer = load(f"http://127.0.0.1:{options.port}", options.key)
    uvicorn.run(issuer.app(), host="127.0.0.1", port=options.port, loop="asyncio", http="h11", log_level="info")


if __name__ == "__main__":
    main()
