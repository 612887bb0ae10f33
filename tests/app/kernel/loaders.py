"""A company whose gateway pushes to a loader of the other distribution, over its real API."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

from gateway.app.kernel.key import kernel_signer
from gateway.config.load import load
from gateway.config.problems import Problems
from tests.admin.conftest import Desk, configure
from tests.bpf.documents import NODE
from tests.bpf.nodes import Place
from tests.company import Company

POLICY = """
@id("analysts-connect")
permit (principal in AgentClass::"data-analyst", action == Action::"connectNetwork", resource is NetworkDestination)
when { resource.host == "127.0.0.1" && resource.port == %d };
"""
SECONDS = 15.0


def company_of(folder: Path, place: Place, port: int = 4444, **kernel: Any) -> Company:
    """A company that pushes to ``place``, which pins its key; ``port`` is what its analysts may connect to."""
    company = configure(Company(folder))
    company.policies["kernel/analysts.cedar"] = POLICY % port
    company.registry["agents"]["analyst"]["classes"] = ["data-analyst"]
    socket = str(place.folder / "api.sock")
    company.settings["kernel"] = {
        "loaders": [{"node": NODE, "socket": socket}], "retry_seconds": 0.2, "look_seconds": 0.2,
    } | kernel  # fmt: skip
    pin(company, place)
    place.more["socket"] = {"path": socket, "uids": [os.getuid()]}
    return company


def pin(company: Company, place: Place) -> None:
    """Have the loader pin the company's key."""
    loaded = load(company.write(), os.environ)
    assert not isinstance(loaded, Problems), str(loaded)
    jwks = kernel_signer(loaded.settings, os.environ).jwks()
    (place.folder / "gateway.jwks").write_text(json.dumps(jwks))


async def standing(company: Company) -> Mapping[str, Any]:
    """What ``/api/v1/kernel`` says."""
    async with Desk(company).override() as http:
        answer = await http.get("/api/v1/kernel")
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


async def node_until(company: Company, holds: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """The first standing of the node for which ``holds``."""
    last: Mapping[str, Any] = {}
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                [last] = (await standing(company))["nodes"]
                if holds(last):
                    return last
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it stayed at {last}") from None


def kinds(node: Mapping[str, Any]) -> set[str]:
    """Kinds of a node's drift."""
    return {each["kind"] for each in node["drift"]}


def settled(node: Mapping[str, Any]) -> bool:
    """Whether the node enforces all that it should."""
    return not node["drift"]


async def metrics(company: Company) -> str:
    """``/metrics``."""
    async with httpx2.AsyncClient() as http:
        return (await http.get(f"http://127.0.0.1:{company.health_port}/metrics")).text
