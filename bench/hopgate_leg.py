"""Hopgate as a leg: every request authenticated, authorized, recorded, and sent on with a token of its own."""

import json
import platform
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from bench.identities import TRUST_DOMAIN, Identities, spiffe_id
from bench.legs import Leg
from bench.processes import free_port
from bench.workload import TOOL
from gateway import __version__

ISSUER = "https://login.bench.test"
ROUTE = "/mcp/bench"
TOKEN_SECONDS = 3600

POLICY = """@id("bench-lookup")
permit (
  principal in Group::"bench-agents",
  action == Action::"invokeTool",
  resource in ToolSet::"bench-readonly"
) when {
  principal.risk_level == "low" &&
  context.delegation_depth <= 3
};
"""


def hopgate(work: Path, identities: Identities, upstream: int) -> Leg:
    """One process, one worker; audit on; a person's token, one agent, one tool, one policy."""
    data, public, health = free_port(), free_port(), free_port()
    folder = work / "hopgate"
    folder.joinpath("policies", "baseline").mkdir(parents=True)
    folder.joinpath("policies", "baseline", "bench.cedar").write_text(POLICY)
    key = ec.generate_private_key(ec.SECP256R1())
    public_key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    jwks = {"keys": [{**public_key, "kid": "bench", "use": "sig", "alg": "ES256"}]}
    folder.joinpath("jwks.json").write_text(json.dumps(jwks))
    # JSON is YAML: nothing here needs quoting rules of its own.
    folder.joinpath("registry.yaml").write_text(json.dumps(registry(upstream)))
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(settings(identities, data, public, health)))
    program = "from gateway.cli import main; main()"
    return Leg(
        "hopgate",
        f"{__version__}, Python {platform.python_version()}",
        (sys.executable, "-c", program, "serve", "--config", file),
        data,
        ROUTE,
        user_token(key, f"https://localhost:{data}{ROUTE}"),
    )


def settings(identities: Identities, data: int, public: int, health: int) -> dict[str, object]:
    """The gateway's settings file."""
    own = identities.proxy
    return {
        "version": 1,
        "environment": "development",
        "public_url": f"https://localhost:{data}",
        "issuer": f"https://localhost:{public}",
        "listen": {
            "data": {"host": "127.0.0.1", "port": data},
            "public": {"host": "127.0.0.1", "port": public},
            "health": {"host": "127.0.0.1", "port": health},
        },
        "identity": {
            "trust_domain": TRUST_DOMAIN,
            "source": "pem",
            "pem": {
                "certificate": str(own.certificate),
                "key": str(own.key),
                "trust_bundles": {TRUST_DOMAIN: str(own.bundle)},
            },
        },
        "issuers": [
            {
                "name": "bench",
                "issuer": ISSUER,
                "jwks_file": "jwks.json",
                "algorithms": ["ES256"],
                "scope_map": {"bench": [f"bench/{TOOL}"]},
                "claims": {"client": "client_id"},
            }
        ],
        "keys": {"signing": {"file": "signing.pem", "generate": True}},
        "registry": ["registry.yaml"],
        "policies": "policies",
        "store": {"url": "sqlite:///hopgate.db"},
        "telemetry": {"sample_ratio": 0.1, "log_level": "warning"},
    }


def registry(upstream: int) -> dict[str, object]:
    """One person, one agent (the load), one server (the upstream) with one tool."""
    return {
        "people": {"bench|maria": {"issuer": ISSUER, "name": "Maria", "team": "bench"}},
        "teams": ["bench"],
        "agents": {
            "client": {
                "spiffe_id": spiffe_id("client"),
                "owner": "bench|maria",
                "team": "bench",
                "purpose": "asks as fast as it can",
                "risk_level": "low",
                "environment": "production",
                "groups": ["bench-agents"],
                "scopes": [f"bench/{TOOL}"],
                "entry_point": True,
                "clients": ["bench"],
            }
        },
        "servers": {
            "bench": {
                "team": "bench",
                "environment": "production",
                "upstream": {"url": f"https://localhost:{upstream}/mcp", "spiffe_id": spiffe_id("upstream")},
                "tools": {
                    TOOL: {
                        "risk_level": "low",
                        "read_only": True,
                        "sets": ["bench-readonly"],
                        "input_schema": {"type": "object", "properties": {"question": {"type": "string"}}},
                    }
                },
            }
        },
    }


def user_token(key: ec.EllipticCurvePrivateKey, resource: str) -> str:
    """Maria's access token for the route (RFC 9068)."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": "maria",
        "aud": resource,
        "client_id": "bench",
        "scope": "bench",
        "iat": now,
        "exp": now + TOKEN_SECONDS,
        "jti": "bench-1",
    }
    return jwt.encode(claims, key, algorithm="ES256", headers={"typ": "at+jwt", "kid": "bench"})
