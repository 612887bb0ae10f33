"""Hot reload: one swap, the last good generation kept, open streams decided again, no request dropped."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from gateway.identity.dev import issue_svid
from gateway.identity.signer import generate_key_pem
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Message, answer_of, bare, call, post, refusal_of, through_gateway

SECONDS = 30


async def ready(company: Company) -> dict[str, Any]:
    async with httpx2.AsyncClient() as http:
        return dict((await http.get(f"http://127.0.0.1:{company.health_port}/readyz")).json())


async def until(company: Company, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first ``/readyz`` body for which ``holds``."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = await ready(company)
            if holds(found):
                return found
            await asyncio.sleep(0.05)


def generation(wanted: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: bool(found["generation"] == wanted)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@pytest.fixture
async def ledger(company: Company) -> AsyncIterator[Ledger]:
    served = Ledger()
    async with through_gateway(company, served):
        yield served


def streamed(tool: str, **arguments: Any) -> Message:
    """A call that asks for progress, and so is answered by a stream."""
    message = call(tool, **arguments)
    message["params"]["_meta"]["progressToken"] = 1
    return message


def forbid_everything(company: Company) -> None:
    company.policies["guardrails/stop.cedar"] = '@id("stop")\nforbid (principal, action, resource);\n'
    company.write()


async def test_a_new_policy_takes_effect_and_its_removal_too(company: Company, ledger: Ledger) -> None:
    async with bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        forbid_everything(company)
        await until(company, generation(2))
        assert refusal_of(await post(wire, call("read_balance"))) == (403, 1403, "forbidden")
        (company.directory / "policies/guardrails/stop.cedar").unlink()
        await until(company, generation(3))
        assert (await post(wire, call("read_balance"))).status_code == 200


async def test_an_agent_registered_now_is_governed_by_the_policies_that_are_there(
    company: Company, ledger: Ledger
) -> None:
    async with bare(company, "newcomer") as wire:
        assert refusal_of(await post(wire, call("read_balance")))[2] == "agent_unregistered"
        company.registry["agents"]["newcomer"] = {
            **company.registry["agents"]["planner"],
            "spiffe_id": "spiffe://demo.test/agent/newcomer",
        }
        del company.registry["agents"]["newcomer"]["upstream"]
        company.write()
        await until(company, generation(2))
        assert (await post(wire, call("read_balance"))).status_code == 200


async def test_what_can_not_be_used_changes_nothing_and_says_why(company: Company, ledger: Ledger) -> None:
    async with bare(company) as wire:
        company.policies["guardrails/broken.cedar"] = (
            '@id("b")\nforbid (principal, action, resource) when { nonsense };\n'
        )
        company.write()
        found = await until(company, lambda found: bool(found["configuration"] != "ok"))
        assert (found["generation"], found["ready"]) == (1, True)
        assert "guardrails/broken.cedar:" in found["configuration"]
        assert (await post(wire, call("read_balance"))).status_code == 200
        (company.directory / "policies/guardrails/broken.cedar").unlink()
        assert (await until(company, lambda found: bool(found["configuration"] == "ok")))["generation"] == 1


async def test_what_takes_a_restart_is_refused_as_a_whole(company: Company, ledger: Ledger) -> None:
    company.settings["store"] = {"url": "sqlite:///other.db"}
    company.write()
    found = await until(company, lambda found: bool(found["configuration"] != "ok"))
    assert "store: takes effect only after a restart" in found["configuration"]
    company.policies["guardrails/broken.cedar"] = '@id("b")\nforbid (principal, action, resource) when { nonsense };\n'
    company.write()
    await until(company, lambda found: "broken.cedar" in found["configuration"])
    company.policies["guardrails/broken.cedar"] = '@id("b")\nforbid (principal, action, resource);\n'
    company.write()
    found = await until(company, lambda found: "restart" in found["configuration"])
    assert found["generation"] == 1
    async with bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200


async def test_open_streams_are_decided_again(company: Company, ledger: Ledger) -> None:
    async with bare(company) as wire, asyncio.TaskGroup() as tasks:
        streaming = tasks.create_task(post(wire, streamed("slow")))
        await asyncio.wait_for(ledger.started.wait(), SECONDS)
        forbid_everything(company)
        answer = await asyncio.wait_for(streaming, SECONDS)
        assert refusal_of(answer)[2] == "lease_ended"
        await asyncio.wait_for(ledger.cancelled.wait(), SECONDS)


async def test_a_stream_that_a_policy_permits_until_a_time_ends_then(company: Company, ledger: Ledger) -> None:
    """Nothing is published: the stream is decided again by the clock."""
    end = datetime.fromtimestamp(time.time() + 8, UTC)
    company.settings.setdefault("limits", {})["decide_again_seconds"] = 1
    company.policies["guardrails/hours.cedar"] = (
        '@id("hours")\nforbid (principal, action == Action::"invokeTool", resource)\n'
        f'when {{ context.now > datetime("{end:%Y-%m-%dT%H:%M:%SZ}") }};\n'
    )
    company.write()
    await until(company, generation(2))
    async with bare(company) as wire, asyncio.TaskGroup() as tasks:
        streaming = tasks.create_task(post(wire, streamed("slow")))
        await asyncio.wait_for(ledger.started.wait(), SECONDS)
        answer = await asyncio.wait_for(streaming, SECONDS)
        assert refusal_of(answer)[2] == "lease_ended"
        await asyncio.wait_for(ledger.cancelled.wait(), SECONDS)
        assert refusal_of(await post(wire, call("read_balance")))[2] == "forbidden"


async def test_streams_that_stay_permitted_go_on(company: Company, ledger: Ledger) -> None:
    async with bare(company) as wire, asyncio.TaskGroup() as tasks:
        streaming = tasks.create_task(post(wire, streamed("count", to=500)))
        await asyncio.sleep(0)
        company.policies["platform/more.cedar"] = (
            '@id("more")\npermit (principal is Agent, action, resource is Prompt);\n'
        )
        company.write()
        await until(company, generation(2))
        assert not streaming.done()
        answer = await asyncio.wait_for(streaming, SECONDS)
        assert answer.status_code == 200
        assert '"error"' not in answer.text


async def test_no_request_is_dropped_under_load(company: Company, ledger: Ledger) -> None:
    done = asyncio.Event()
    statuses: list[int] = []

    async def load() -> None:
        async with bare(company) as wire:
            while not done.is_set():
                statuses.append((await post(wire, call("read_balance"))).status_code)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(load())
        for number in range(2, 6):
            company.policies["platform/more.cedar"] = (
                f'@id("more-{number}")\npermit (principal is Agent, action, resource is Prompt);\n'
            )
            company.write()
            await until(company, generation(number))
        done.set()
    assert len(statuses) > 20
    assert set(statuses) == {200}


async def test_a_new_signing_key_signs_and_the_old_one_still_verifies(company: Company, ledger: Ledger) -> None:
    async with httpx2.AsyncClient(verify=company.anyone()) as http:
        url = f"{company.public_url}/.well-known/jwks.json"
        [old] = (await http.get(url)).json()["keys"]
        (company.directory / "signing.pem").write_bytes(generate_key_pem())
        await until(company, generation(2))
        new, kept = (await http.get(url)).json()["keys"]
    assert kept == old
    async with bare(company) as wire:
        await post(wire, call("read_balance"))
    token = ledger.headers[-1]["authorization"].removeprefix("Bearer ")
    header = jwt.get_unverified_header(token)
    assert header["kid"] == new["kid"] != old["kid"]


@asynccontextmanager
async def by_pem(company: Company) -> AsyncIterator[Path]:
    """The company's gateway, with its SVID from PEM files in the folder that is yielded."""
    folder = company.directory / "pem"
    _issue(company, folder)
    company.settings["identity"] = {
        "trust_domain": "demo.test",
        "source": "pem",
        "pem": {"certificate": "pem/c.pem", "key": "pem/k.pem", "trust_bundles": {"demo.test": "pem/b.pem"}},
    }
    async with through_gateway(company, Ledger()):
        yield folder


def _issue(company: Company, folder: Path) -> None:
    files = issue_svid(company.ca, "spiffe://demo.test/hopgate", folder / "new", "gw", hosts=("127.0.0.1",))
    (folder / "b.pem").write_bytes(files.bundle.read_bytes())
    (folder / "k.pem").write_bytes(files.key.read_bytes())
    (folder / "c.pem").write_bytes(files.certificate.read_bytes())
    files.certificate.unlink()
    files.key.unlink()


async def shown(company: Company) -> bytes:
    """The certificate that the data listener shows to a new connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", company.data_port, ssl=company.client("planner"))
    certificate = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return bytes(certificate)


async def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on(company: Company) -> None:
    async with by_pem(company) as folder, bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        before = await shown(company)
        _issue(company, folder)
        async with asyncio.timeout(SECONDS):
            while True:
                if await shown(company) != before:
                    break
                await asyncio.sleep(0.1)
        assert (await post(wire, call("read_balance"))).status_code == 200


async def test_a_removed_root_ends_live_connections_at_their_next_request(company: Company, tmp_path: Path) -> None:
    async with by_pem(company) as folder, bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        other = issue_svid(
            tmp_path / "other", "spiffe://demo.test/hopgate", folder / "other", "gw", hosts=("127.0.0.1",)
        )
        for name, file in (("b.pem", other.bundle), ("k.pem", other.key), ("c.pem", other.certificate)):
            (folder / name).write_bytes(file.read_bytes())
        async with asyncio.timeout(SECONDS):
            while True:
                answer = await post(wire, call("read_balance"))
                # A call that is under way at that moment finds the upstream withdrawn, too: 502.
                if answer.status_code == 403:
                    break
                await asyncio.sleep(0.1)
        assert answer_of(answer)["error"]["data"]["reason"] == "trust_withdrawn"


async def test_no_malformed_bundle_replaces_the_good_one(company: Company, ledger: Ledger) -> None:
    """A bundle of the corpus for each kind of mistake; ``tests/core/policy/test_malformed.py`` has all of them."""
    corpus = Path(__file__).parents[1] / "core/policy/malformed"
    kinds = {file.stem.split("-")[1]: file for file in sorted(corpus.glob("*.txt"))}
    assert len(kinds) >= 8
    async with bare(company) as wire:
        for kind, file in kinds.items():
            part = ("\n" + file.read_text()).split("\n== ")[1]
            path, _, text = part.partition("\n")
            written = company.directory / "policies" / path.replace("a.cedar", f"{kind}.cedar")
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(text + "\n")
            found = await until(company, lambda found, name=written.name: name in found["configuration"])
            assert (found["generation"], found["ready"]) == (1, True)
            assert (await post(wire, call("read_balance"))).status_code == 200
            written.unlink()
        assert (await until(company, lambda found: bool(found["configuration"] == "ok")))["generation"] == 1
