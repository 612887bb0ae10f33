"""``docs/CONTINUATION.md`` is what a reader sees: its switches are loaded, its programs and commands are run."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.company import Company
from tests.docs.pages import files, is_as_printed, steps
from tests.gateways import asgi, served
from tests.peers.parts import require
from tests.wire.delegate import delegates
from tests.wire.ledger import Ledger
from tests.wire.tracing import handed

PAGE = (Path(__file__).parents[2] / "docs" / "CONTINUATION.md").read_text()
END = "--end of the answer--"
SECONDS = 120


def merged(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            merged(into.setdefault(key, {}), value)
        else:
            into[key] = value


async def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("curl")
    company, ledger, desk = Company(tmp_path), Ledger(), tmp_path / "desk"
    desk.mkdir()
    found = files(PAGE)
    merged(company.settings, YAML(typ="safe").load(found.pop("gateway.yaml")))
    merged(company.registry, YAML(typ="safe").load(found.pop("registry.yaml")))
    for name, text in found.items():
        (desk / name).write_text(text)
    told = list(steps(PAGE))
    assert len(told) > 15
    async with (
        delegates(company, "analyst") as [analyst],
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        served(company.write()),
    ):
        await handed(company, analyst)
        received, svid = analyst.headers[-1], company.svid("agent/analyst")
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NO_COLOR": "1",
            "GATEWAY": company.data_url,
            "RECEIVED": received["authorization"].removeprefix("Bearer "),
            "TRACEPARENT": received["traceparent"],
            "TRACESTATE": received["tracestate"],
            "CERT": str(svid.certificate),
            "KEY": str(svid.key),
            "CA": str(svid.bundle),
        }
        process = await asyncio.create_subprocess_exec(
            "bash",
            cwd=desk,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        script = "".join(f"{command}\necho\necho '{END}'\n" for command, _ in told)
        out, _ = await asyncio.wait_for(process.communicate(script.encode()), SECONDS)
    answers = out.decode().split(f"{END}\n")
    assert len(answers) == len(told) + 1
    wrong = [
        f"$ {command}\nexpected: {expected}\nanswered: {answer}"
        for (command, expected), answer in zip(told, answers, strict=False)
        if not is_as_printed(expected, answer)
    ]
    assert not wrong, "\n\n".join(wrong)
