"""A small company for tests: certificates, users, registry, policies and a gateway configuration on disk.

Everything is real: X.509-SVIDs from the development CA, ES256 user tokens, YAML that ``hopgate serve`` reads.
"""

import base64
import json
import ssl
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from gateway.identity.dev import IssuedFiles, issue_svid
from gateway.store.query import AuditReader, Filters, Found
from tests.ports import free_port

DOMAIN = "demo.test"
POLICIES = {
    "teams/finance/read.cedar": """
@id("finance-read")
permit (
  principal in Group::"finance-agents",
  action == Action::"invokeTool",
  resource in ToolSet::"finance-readonly"
) when {
  principal.risk_level == "low" &&
  context.delegation_depth <= 3
};
""",
    "platform/delegate.cedar": """
@id("delegate-overlap")
permit (principal is Agent, action == Action::"delegate", resource is Agent)
when { principal.capabilities.containsAny(resource.capabilities) };
@id("users-ask-entry-points")
permit (principal is User, action == Action::"delegate", resource is Agent)
when { resource.entry_point };
@id("own-tasks")
permit (principal, action == Action::"getTask", resource is Agent);
""",
    "platform/pay.cedar": """
@id("pay")
permit (principal in Group::"finance-agents", action == Action::"invokeTool", resource in ToolSet::"payments");
@id("large-payments") @approval("finance-leads")
forbid (principal, action == Action::"invokeTool", resource in ToolSet::"payments")
when { context has args.ledger.pay && context.args.ledger.pay.amount > 1000 }
unless { context.approved };
""",
    "guardrails/loops.cedar": """
@id("no-loops")
forbid (principal, action == Action::"delegate", resource) when { context.reentry };
""",
}
AGENTS: Mapping[str, Mapping[str, Any]] = {
    "planner": {"entry_point": True, "clients": ["cli"]},
    "analyst": {},
    "auditor": {"risk_level": "medium"},
    "cron": {"entry_point": True, "scopes": ["ledger/read_balance", "ledger/pay"]},
    "outsider": {"groups": [], "team": "platform"},
    "retired": {"status": "suspended"},
}
SCOPES = [
    "ledger/read_balance", "ledger/list_entries", "ledger/pay", "ledger/slow", "ledger/count",
    "planner/delegate", "analyst/delegate", "auditor/delegate",
]  # fmt: skip


class Company:
    """One trust domain under ``directory``, with a gateway configuration that can be changed before it starts."""

    def __init__(self, directory: Path, domain: str = DOMAIN) -> None:
        self.directory = directory
        self.domain = domain
        self.ca = directory / "ca"
        self.key: EllipticCurvePrivateKey = ec.generate_private_key(ec.SECP256R1())
        self.data_port, self.public_port, self.health_port = free_port(), free_port(), free_port()
        self.upstreams = {"ledger": free_port(), "analyst": free_port(), "planner": free_port()}
        self.settings = self._settings()
        self.registry = self._registry()
        self.policies = dict(POLICIES)

    @property
    def config(self) -> Path:
        return self.directory / "gateway.yaml"

    @property
    def data_url(self) -> str:
        return f"https://127.0.0.1:{self.data_port}"

    @property
    def public_url(self) -> str:
        return f"https://127.0.0.1:{self.public_port}"

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.directory / 'hopgate.db'}"

    def records(self) -> tuple[Found, ...]:
        """Decisions and refusals that the gateway recorded, oldest first."""
        return AuditReader(self.store_url).query(Filters(limit=1000)).found[::-1]

    def svid(self, path: str) -> IssuedFiles:
        """Certificate, key and bundle of ``spiffe://<domain>/<path>``, usable on loopback."""
        spiffe_id, folder = f"spiffe://{self.domain}/{path}", self.directory / "svids"
        return issue_svid(self.ca, spiffe_id, folder, path.replace("/", "-"), hosts=("127.0.0.1",))

    def client(self, agent: str) -> ssl.SSLContext:
        """What an agent connects with: its SVID, and the company's roots."""
        files = self.svid(f"agent/{agent}")
        context = ssl.create_default_context(cafile=str(files.bundle))
        context.load_cert_chain(files.certificate, files.key)
        return context

    def anyone(self) -> ssl.SSLContext:
        """A client without a certificate."""
        return ssl.create_default_context(cafile=str(self.svid("agent/planner").bundle))

    def server(self, path: str) -> Mapping[str, Any]:
        """uvicorn's TLS arguments for an upstream that takes only certificates of this company."""
        files = self.svid(path)
        return {
            "ssl_certfile": str(files.certificate),
            "ssl_keyfile": str(files.key),
            "ssl_ca_certs": str(files.bundle),
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
        }

    def token(self, resource: str, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Maria's access token for ``resource``; a claim set to None is left out."""
        now = int(time.time())
        found = {
            "iss": "https://login.demo.test", "sub": "maria", "aud": resource, "azp": "cli", "iat": now,
            "exp": now + 600, "scope": "all", "jti": str(uuid.uuid4()), "email": "maria@demo.test",
            "groups": ["finance"], "roles": ["cfo"],
        } | claims  # fmt: skip
        kept = {name: value for name, value in found.items() if value is not None}
        return jwt.encode(kept, self.key, "ES256", headers={"typ": "at+jwt", "kid": "maria-1"} | dict(header or {}))

    def write(self) -> Path:
        """All files of the configuration; the path of the settings file."""
        self.directory.mkdir(parents=True, exist_ok=True)
        # First: a running gateway that reads meanwhile must not take the rest for a change under the old settings.
        # JSON is YAML, without anchors for values that occur twice.
        self.config.write_text(json.dumps(self.settings, indent=1))
        for path, text in self.policies.items():
            file = self.directory / "policies" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (self.directory / "jwks.json").write_text(json.dumps({"keys": [self._jwk()]}))
        (self.directory / "registry.yaml").write_text(json.dumps(self.registry, indent=1))
        return self.config

    def _jwk(self) -> Mapping[str, str]:
        numbers = self.key.public_key().public_numbers()
        x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "maria-1", "use": "sig", "alg": "ES256"}

    def _settings(self) -> dict[str, Any]:
        return {
            "version": 1,
            "environment": "development",
            "public_url": self.data_url,
            "issuer": self.public_url,
            "listen": {
                "data": {"port": self.data_port},
                "public": {"port": self.public_port},
                "health": {"port": self.health_port},
            },
            "identity": {"trust_domain": self.domain, "source": "development", "development": {"directory": "ca"}},
            "issuers": [
                {
                    "name": "corp",
                    "issuer": "https://login.demo.test",
                    "jwks_file": "jwks.json",
                    "algorithms": ["ES256"],
                    "scope_map": {"all": SCOPES, "read": ["ledger/read_balance"]},
                }
            ],
            "keys": {"signing": {"generate": True, "file": "signing.pem"}},
            "registry": ["registry.yaml"],
            "policies": "policies",
            "routes": {"mcp": {"ledger": {"user": "optional"}}, "a2a": {"planner": {"clients": "user-only"}}},
            "store": {"url": "sqlite:///hopgate.db"},
        }

    def _registry(self) -> dict[str, Any]:
        person = {"issuer": "https://login.demo.test", "name": "Maria López", "team": "finance"}
        return {
            "people": {"corp|maria": person},
            "teams": ["finance", "platform"],
            "agents": {name: self._agent(name, facts) for name, facts in AGENTS.items()},
            "servers": {"ledger": self._ledger()},
            "destinations": {"llm": {"host": "llm.demo.test", "port": 443, "sets": ["approved-llm-endpoints"]}},
        }

    def _agent(self, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        upstream = {"url": f"https://127.0.0.1:{self.upstreams[name]}/"} if name in self.upstreams else None
        found = {
            "spiffe_id": f"spiffe://{self.domain}/agent/{name}",
            "owner": "corp|maria",
            "team": "finance",
            "purpose": f"the {name} of the tests",
            "capabilities": ["ledger"],
            "risk_level": "low",
            "environment": "production",
            "groups": ["finance-agents", "finance-leads"],
            "scopes": SCOPES,
        } | dict(facts)
        return found | ({"upstream": upstream} if upstream else {})

    def _ledger(self) -> dict[str, Any]:
        pay = {
            "type": "object",
            "properties": {"amount": {"type": "integer"}, "to": {"type": "string"}, "memo": {"type": "string"}},
            "required": ["amount", "to"],
        }
        return {
            "team": "finance",
            "environment": "production",
            "upstream": {
                "url": f"https://127.0.0.1:{self.upstreams['ledger']}/mcp",
                "spiffe_id": f"spiffe://{self.domain}/server/ledger",
            },
            "tools": {
                "read_balance": {"risk_level": "low", "sets": ["finance-readonly"], "read_only": True},
                "slow": {"risk_level": "low", "sets": ["finance-readonly"]},
                "count": {"risk_level": "low", "sets": ["finance-readonly"]},
                "list_entries": {"risk_level": "low", "sets": ["finance-readonly"], "read_only": True},
                "pay": {"risk_level": "high", "sets": ["payments"], "input_schema": pay},
                "delete_all": {"risk_level": "high", "sets": []},
            },
        }
