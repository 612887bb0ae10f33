"""A small, complete configuration on disk, and a way to change single parts of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.load import Loaded, load
from gateway.config.problems import Problems

SETTINGS = """\
version: 1
environment: development
public_url: https://gateway.test:8443
issuer: https://gateway.test:8444
identity:
  trust_domain: demo.test
  source: development
  development: {directory: dev}
issuers:
  - name: corp
    issuer: https://login.test
    jwks_uri: https://login.test/jwks
    scope_map: {ledger.read: [ledger/read_balance]}
keys:
  signing: {file: keys/signing.pem, generate: true}
registry: [registry.yaml]
policies: policies
"""

REGISTRY = """\
people:
  "corp|maria": {issuer: https://login.test, name: Maria López, groups: [finance-leads], team: finance}
teams: [finance, platform]
agents:
  planner:
    spiffe_id: spiffe://demo.test/agent/planner
    owner: corp|maria
    team: platform
    purpose: plans
    risk_level: low
    environment: production
    entry_point: true
    clients: [desk]
    scopes: [analyst/delegate, ledger/read_balance]
  analyst:
    spiffe_id: spiffe://demo.test/agent/analyst
    owner: corp|maria
    team: finance
    purpose: reads the ledger
    risk_level: medium
    environment: production
    scopes: [ledger/read_balance]
    upstream: {url: "https://127.0.0.1:9001/"}
servers:
  ledger:
    team: finance
    environment: production
    upstream: {url: "https://127.0.0.1:9002/mcp", spiffe_id: spiffe://demo.test/server/ledger}
    tools:
      read_balance:
        risk_level: low
        read_only: true
        sets: [finance-readonly]
        input_schema:
          type: object
          properties: {account: {type: string}}
          required: [account]
      pay: {risk_level: high, scopes: [ledger/pay], environment: staging}
models:
  gpt: {provider: openai, sets: [approved]}
"""


class Folder:
    """The configuration in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ: dict[str, str] = {}
        self.write("gateway.yaml", SETTINGS)
        self.write("registry.yaml", REGISTRY)
        self.write("policies/platform/all.cedar", "permit (principal, action, resource);")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new, 1))

    def settings(self, old: str, new: str) -> None:
        self.change("gateway.yaml", old, new)

    def registry(self, old: str, new: str) -> None:
        self.change("registry.yaml", old, new)

    def load(self) -> Loaded | Problems:
        return load(self.root / "gateway.yaml", self.environ)

    def loaded(self) -> Loaded:
        result = self.load()
        assert isinstance(result, Loaded), str(result)
        return result

    def errors(self) -> list[str]:
        result = self.load()
        assert isinstance(result, Problems), "loaded, though it should have been refused"
        return [str(problem).replace(f"{self.root}/", "") for problem in result.errors]

    def warnings(self) -> list[str]:
        return [str(problem).replace(f"{self.root}/", "") for problem in self.loaded().warnings]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def refused(folder: Folder) -> Callable[..., str]:
    """Change one thing and give the one error that this makes."""

    def change(name: str, old: str, new: str) -> str:
        folder.change(name, old, new)
        (error,) = folder.errors()
        return error

    return change
