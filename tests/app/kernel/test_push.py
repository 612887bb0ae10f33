"""Rules reach the loader on every change, once, under generations that never fall; what differs is said loudly."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.app.health import ready, until
from tests.app.kernel.loaders import POLICY, company_of, kinds, metrics, node_until, pin, settled, standing
from tests.bpf.nodes import Place
from tests.bpf.serving import serving
from tests.company import Company
from tests.gateways import running
from tests.ports import free_port
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "node").mkdir()
    return Place(tmp_path / "node")


@pytest.fixture
def company(tmp_path: Path, place: Place) -> Company:
    return company_of(tmp_path / "company", place)


def change(company: Company, port: int) -> None:
    company.policies["kernel/analysts.cedar"] = POLICY % port
    company.write()


async def test_a_change_reaches_the_kernel_and_the_same_rules_are_not_pushed_again(
    company: Company, place: Place
) -> None:
    async with serving(place):
        async with running(company):
            first = await node_until(company, settled)
            assert (first["wanted"], first["generation"]) == (1, 1)
            [rules] = place.kernel.images[-1].classes
            change(company, 5555)
            second = await node_until(company, lambda node: settled(node) and node["generation"] == 2)
            assert second["wanted"] == 2
            assert 'hopgate_kernel_generation{node="worker-1",whose="loader"} 2.0' in await metrics(company)
            whole = await standing(company)
            assert (whole["classes"], whole["refused"]) == (["data-analyst"], [])
            applied = len(place.kernel.images)
        async with running(company):
            again = await node_until(company, settled)
            assert (again["generation"], len(place.kernel.images)) == (2, applied), "a restart pushes nothing new"
            change(company, 6666)
            await node_until(company, lambda node: settled(node) and node["generation"] == 3)
    assert rules


async def test_a_loader_that_is_down_for_long_gets_the_rules_once_it_is_up(company: Company, place: Place) -> None:
    async with through_gateway(company, Ledger()):
        down = await node_until(company, lambda node: node["wanted"] == 1)
        assert kinds(down) == {"unreachable"}
        assert 'hopgate_kernel_drift{kind="unreachable",node="worker-1"} 1.0' in await metrics(company)
        status, said = await until(company, lambda said: "kernel" in said["checks"])
        assert (status, said["checks"]["kernel"]) == (200, "drift: worker-1")
        async with bare(company, "planner") as wire:
            assert (await post(wire, call("read_balance"))).status_code == 200, "calls go on"
        change(company, 5555)
        await node_until(company, lambda node: node["wanted"] == 2)
        async with serving(place):
            await node_until(company, settled)
            assert place.kernel.generation == 2
            assert "kernel" not in (await ready(company))[1]["checks"]
        await node_until(company, lambda node: kinds(node) == {"unreachable"})


async def test_a_node_of_another_name_is_never_pushed_to(company: Company, place: Place) -> None:
    place.more["node"] = "worker-2"
    async with serving(place), running(company):
        assert kinds(await node_until(company, lambda node: node["asked_at"] > 0)) == {"other_node"}
    assert not place.kernel.images


async def test_a_key_that_is_not_pinned_is_drift_until_it_is(company: Company, place: Place) -> None:
    place.pin(place.signer)
    async with serving(place), running(company):
        node = await node_until(company, lambda node: "refused" in kinds(node))
        assert "key_unknown" in node["drift"][0]["detail"]
        pin(company, place)
        await node_until(company, settled)


async def test_a_store_that_was_lost_goes_on_above_what_the_loader_has(
    company: Company, place: Place, tmp_path: Path
) -> None:
    async with serving(place):
        async with running(company):
            await node_until(company, settled)
            change(company, 5555)
            await node_until(company, lambda node: settled(node) and node["generation"] == 2)
        for file in company.directory.glob("hopgate.db*"):
            if not file.name.endswith(".kernel.pem"):
                file.unlink()
        async with running(company):
            node = await node_until(company, settled)
            assert (node["wanted"], node["generation"], place.kernel.generation) == (3, 3, 3)


async def test_what_a_kernel_lacks_is_told_and_a_kernel_that_lost_its_rules_gets_them_back(
    company: Company, place: Place
) -> None:
    async with serving(place), running(company):
        await node_until(company, settled)
        place.kernel.not_enforced = ("files: this kernel has no BPF LSM",)
        node = await node_until(company, lambda node: kinds(node) == {"not_enforced"})
        assert node["drift"][0]["detail"] == "files: this kernel has no BPF LSM"
        place.kernel.not_enforced = ()
        place.kernel.images.clear()
        await node_until(company, lambda node: settled(node) and place.kernel.generation == 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[[[[[[[",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["nothing", "no-http", "no-json", "no-status", "500", "redirect"],
)
async def test_a_loader_that_talks_nonsense_is_unreachable_and_harms_nobody(
    company: Company, place: Place, answer: bytes
) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(nonsense, place.folder / "api.sock")
    async with server, running(company):
        node = await node_until(company, lambda node: "not asked yet" not in str(node["drift"]))
        assert kinds(node) == {"unreachable"}
        assert (await ready(company))[0] == 200


async def test_a_loader_that_says_an_impossible_generation_does_not_use_them_up(company: Company, place: Place) -> None:
    said: Mapping[str, Any] = {"node": "worker-1", "generation": 2**53 - 1, "sha256": "00"}
    body = json.dumps(said).encode()

    async def lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_unix_server(lying, place.folder / "api.sock")
    async with server, running(company):
        node = await node_until(company, lambda node: kinds(node) == {"refused"})
        assert "generation_impossible" in str(node) or "generation" in node["drift"][0]["detail"]
        assert node["wanted"] == 1


async def test_over_tls_only_the_pinned_loader_is_sent_anything(company: Company, place: Place) -> None:
    loader, gateway, port = company.svid("loader/worker-1"), company.svid("hopgate"), free_port()
    place.more["tls"] = {
        "host": "127.0.0.1", "port": port, "certificate": str(loader.certificate), "key": str(loader.key),
        "trust_bundle": str(gateway.bundle), "gateway": f"spiffe://{company.domain}/hopgate",
    }  # fmt: skip
    there = {"node": "worker-1", "url": f"https://127.0.0.1:{port}"}
    company.settings["kernel"]["loaders"] = [there | {"spiffe_id": f"spiffe://{company.domain}/loader/other"}]
    async with serving(place):
        async with running(company):
            node = await node_until(company, lambda node: "not asked yet" not in str(node["drift"]))
            assert kinds(node) == {"unreachable"}
            assert not place.kernel.images
        company.settings["kernel"]["loaders"] = [there | {"spiffe_id": f"spiffe://{company.domain}/loader/worker-1"}]
        company.write()
        async with running(company):
            await node_until(company, settled)
            assert place.kernel.generation == 1
