"""``docs/CHAINS.md`` as a reader follows it: its files are the company's, its commands run in one shell."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from ruamel.yaml import YAML

from tests.company import Company
from tests.docs.pages import files, is_as_printed, steps
from tests.gateways import asgi, running
from tests.peers.parts import require
from tests.wire.delegate import delegates
from tests.wire.ledger import Ledger

PAGE = (Path(__file__).parents[2] / "docs" / "CHAINS.md").read_text()
END = "--end of the answer--"
SECONDS = 60
MAP = {
    "read": ["ledger/read_balance", "ledger/list_entries"], "pay": ["ledger/pay"], "approve": ["ledger/approve"],
    "docs": ["ledger/docs"], "ask": ["analyst/ask"],
}  # fmt: skip
TOKEN = """#!{python}
import sys, time, uuid, jwt
now, scope = int(time.time()), sys.argv[2] if len(sys.argv) > 2 else "read ask"
claims = {{"iss": "https://login.demo.test", "sub": "maria", "aud": sys.argv[1], "azp": "cli", "iat": now,
    "exp": now + 600, "scope": scope, "jti": str(uuid.uuid4())}}
print(jwt.encode(claims, open({key!r}).read(), "ES256", headers={{"typ": "at+jwt", "kid": "maria-1"}}))
"""


def merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Put the page's part of a file where it belongs in the whole one; lists of named things go by their place."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for index, each in enumerate(value):
                merge(into[key][index], each)
        else:
            into[key] = value


def prepared(company: Company) -> Company:
    """The company as the page's readers have it."""
    scopes = sorted({scope for mapped in MAP.values() for scope in mapped} | {"analyst/delegate", "ledger/keys"})
    for agent in company.registry["agents"].values():
        agent["scopes"] = scopes
    company.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"], "risk_level": "low"}
    company.settings["issuers"][0]["scope_map"] = MAP
    company.settings["routes"]["mcp"]["ledger"]["user"] = "required"
    for name, text in files(PAGE).items():
        if name.startswith("policies/"):
            company.policies[name.removeprefix("policies/")] = text
        elif name.endswith(".yaml"):
            part = json.loads(json.dumps(YAML(typ="safe").load(text)))
            merge(company.settings if name == "gateway.yaml" else company.registry, part)
    return company


def furnished(company: Company) -> Mapping[str, str]:
    """Certificates, a way to log in, and the names that the page uses."""
    place = company.directory
    (place / "certs").mkdir(parents=True)
    for name in ("planner", "analyst", "auditor"):
        found = company.svid(f"agent/{name}")
        for suffix, path in (("pem", found.certificate), ("key", found.key)):
            (place / "certs" / f"{name}.{suffix}").write_bytes(path.read_bytes())
    (place / "certs" / "ca.pem").write_bytes(found.bundle.read_bytes())
    key, token = place / "maria.pem", place / "bin" / "token"
    key.write_bytes(company.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    token.parent.mkdir()
    token.write_text(TOKEN.format(python=sys.executable, key=str(key)))
    token.chmod(0o755)
    (place / "calls.sh").write_text(files(PAGE)["calls.sh"])
    tools = f"{token.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": tools, "DATA": company.data_url, "NO_COLOR": "1"}


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("curl")
    company = prepared(Company(tmp_path / "company"))
    environment, told = furnished(company), list(steps(PAGE))
    assert len(told) > 15
    script = "".join(f"{command}\necho\necho '{END}'\n" for command, _ in told)
    async with (
        delegates(company, "analyst"),
        asgi(Ledger().application, company, "server/ledger", company.upstreams["ledger"]),
        running(company),
        asyncio.timeout(SECONDS),
    ):
        shell = await asyncio.create_subprocess_exec(
            "bash", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            cwd=company.directory, env=environment,
        )  # fmt: skip
        printed, _ = await shell.communicate(script.encode())
    answers = printed.decode().split(f"{END}\n")
    assert len(answers) == len(told) + 1
    wrong = [
        f"$ {command}\nexpected: {expected}\nanswered: {answer}"
        for (command, expected), answer in zip(told, answers, strict=False)
        if not is_as_printed(expected, answer)
    ]
    assert not wrong, "\n\n".join(wrong)
