"""A running gateway that tells of approvals: in time, after a kill, and again where somebody says so."""

import asyncio
import signal
from pathlib import Path

from standardwebhooks import Webhook

from tests.approving import LARGE, People, approving
from tests.company import Company
from tests.gateways import HOPGATE, asgi, serving
from tests.webhooks.receiver import SECRET, Receiver, status
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway

ROOT = Path(__file__).parents[2]


def company_of(directory: Path) -> Company:
    company = approving(directory)
    company.policies["admin/webhooks.cedar"] = (ROOT / "policies/admin/webhooks.cedar").read_text()
    return company


async def hopgate(company: Company, *arguments: str) -> tuple[int, str]:
    """The command's status and what it says."""
    process = await asyncio.create_subprocess_exec(
        HOPGATE,
        *arguments,
        "--config",
        company.config,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_people_are_told_and_what_is_shown_opens_a_page(tmp_path: Path) -> None:
    receiver = Receiver(company_of(tmp_path))
    receiver.target()
    people = People(receiver.company)
    async with receiver.listening(), through_gateway(receiver.company, Ledger()), bare(receiver.company) as wire:
        await post(wire, call("pay", **LARGE))
        await receiver.until(1)
        assert (await people.say("approve")).status_code == 200
        await receiver.until(2)
        await post(wire, call("pay", **LARGE))
        await receiver.until(4)
        assert set(receiver.events()) == {
            "approval.asked", "approval.approved", "approval.consumed", "approval.done",
        }  # fmt: skip
        headers, body = receiver.got[0]
        told = Webhook(SECRET).verify(body, dict(headers))["data"]
        assert (told["user"], told["agents"], told["resource"]) == ("corp|maria", ["planner"], 'Tool::"ledger/pay"')
        assert b"acme" not in body
        async with people.desk.person(None) as http:
            page = await http.get(told["url"])
            assert page.status_code == 200
            assert "ledger/pay" in page.text
            # A link for another approval, a longer time or without its signature opens what anybody sees.
            until = str(told["decide_by"])
            for other in (told["url"].partition("?")[0], told["url"].replace(until, until + "0"), told["url"] + "0"):
                assert "ledger/pay" not in (await http.get(other)).text
            assert (await http.post(told["url"])).status_code == 405
            assert "acme" not in page.text


async def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    receiver = Receiver(company_of(tmp_path))
    receiver.target()
    ledger = Ledger()
    async with asgi(ledger.application, receiver.company, "server/ledger", receiver.company.upstreams["ledger"]):
        async with serving(receiver.company) as gateway, bare(receiver.company) as wire:
            await post(wire, call("pay", **LARGE))
            gateway.send_signal(signal.SIGKILL)
            await gateway.wait()
        assert receiver.got == []
        async with receiver.listening(), serving(receiver.company):
            await receiver.until(1)
    assert receiver.events() == ["approval.asked"]


async def test_dead_letters_are_listed_and_told_again_by_who_may(tmp_path: Path) -> None:
    receiver = Receiver(company_of(tmp_path), status(410))
    receiver.target()
    people, path = People(receiver.company), "/api/v1/webhooks/letters"
    async with receiver.listening(), through_gateway(receiver.company, Ledger()), bare(receiver.company) as wire:
        await post(wire, call("pay", **LARGE))
        await receiver.until(1)
        async with people.desk.person("operator") as http, people.desk.person("auditor") as auditor:
            # Nothing says that the answer was noted: a person would look again as well.
            for _ in range(100):
                if found := (await http.get(path)).json()["letters"]:
                    break
                await asyncio.sleep(0.05)
            [letter] = found
            assert (letter["target"], letter["standing"], letter["detail"]) == ("pager", "dead", "answered 410")
            again = f"{path}/{letter['id']}/redeliver"
            assert (await auditor.get(path)).status_code == 200
            assert (await auditor.post(again, json={})).status_code == 403
            assert (await http.post(f"{path}/other/redeliver", json={})).status_code == 404
            assert (await http.get(path, params={"standing": "lost"})).status_code == 400
        code, said = await hopgate(receiver.company, "webhooks", "list")
        assert (code, "answered 410" in said) == (0, True), said
        receiver.answer = status(200)
        code, said = await hopgate(receiver.company, "webhooks", "redeliver", "--target", "pager")
        assert (code, said) == (0, f"{letter['id']} is sent again\n")
        await receiver.until(2)
    assert len(set(receiver.ids)) == 1
