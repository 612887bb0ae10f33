"""Targets that are down, gone, slow, huge, elsewhere or busy: nothing is lost, and nothing told under two ids."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from gateway.core import approval as life
from tests.company import Company
from tests.core.approvals import NOW, an_approval, yes
from tests.webhooks.receiver import Answer, Receiver, Telling, status, taken, telling_of


async def asked(found: Telling, name: str = "a") -> None:
    await found.approvals.ask(an_approval(id=name, binding=name), "sealed", 50)


async def test_a_target_that_is_down_for_an_hour_hears_of_it_all_once(tmp_path: Path) -> None:
    receiver = Receiver(Company(tmp_path))
    receiver.target()
    async with telling_of(receiver.company) as found:
        for name in ("a", "b", "c"):
            await asked(found, name)
        attempts = 0
        while found.clock.now < NOW / 1000 + 3600:
            attempts += await found.step()
            found.clock.now += 30
        # Ever more rarely, and one try says enough for all letters.
        assert 5 <= attempts <= 40
        assert await found.standing() == {"waiting": 3}
        async with receiver.listening():
            for _ in range(500):
                if (await found.standing()).get("waiting", 0) == 0:
                    break
                await found.step()
                found.clock.now += 600
        assert await found.standing() == {"delivered": 3}
        assert sorted(receiver.ids) == ["a.1.asked.pager", "b.1.asked.pager", "c.1.asked.pager"]


async def test_every_attempt_has_the_same_id_and_body_and_its_own_time(tmp_path: Path) -> None:
    receiver = Receiver(Company(tmp_path), status(500))
    receiver.target()
    async with telling_of(receiver.company) as found, receiver.listening():
        await asked(found)
        await found.step()
        receiver.answer, found.clock.now = taken, found.clock.now + 60
        await found.step()
        assert await found.standing() == {"delivered": 1}
    (first, body), (second, again) = receiver.got
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60


async def test_nobody_hears_for_as_long_as_is_configured_and_then_it_is_dead(tmp_path: Path) -> None:
    receiver = Receiver(Company(tmp_path), status(503))
    receiver.target()
    receiver.company.settings["webhooks"]["retry_hours"] = 1
    async with telling_of(receiver.company) as found, receiver.listening():
        await asked(found)
        for _ in range(100):
            await found.step()
            found.clock.now += 60
        assert await found.standing() == {"dead": 1}
        [(_, letter)] = await found.letters.page("dead", None, 9)
        assert letter.detail == "answered 503"
        assert set(receiver.ids) == {"a.1.asked.pager"}


async def test_gone_is_dead_at_once_and_everything_else_is_tried_again(tmp_path: Path) -> None:
    receiver = Receiver(Company(tmp_path))
    receiver.target()
    async with telling_of(receiver.company) as found, receiver.listening():
        codes = (400, 401, 404, 429, 500, 302, 410)
        for code in codes:
            receiver.answer = status(code, Location="https://127.0.0.1:1/elsewhere")
            await asked(found, f"c{code}")
            found.clock.now += 20
            # The newest is tried once the others have waited.
            letter = await found.letters.find(f"c{code}.1.asked.pager")
            assert letter is not None
            await found.sender.drain("pager")
        receiver.answer = status(410)
        for _ in codes:
            found.clock.now += 300
            await found.step()
        assert await found.standing() == {"dead": len(codes)}


@pytest.mark.parametrize(("header", "seconds"), [("120", 120), ("999999", 4 * 3600)])
async def test_it_waits_as_long_as_it_is_asked_to(tmp_path: Path, header: str, seconds: int) -> None:
    receiver = Receiver(Company(tmp_path), status(429, Retry_After=header))
    receiver.target()
    async with telling_of(receiver.company) as found, receiver.listening():
        await asked(found)
        await found.step()
        # Other letters to it wait as well.
        await asked(found, "b")
        receiver.answer, found.clock.now = taken, found.clock.now + seconds - 1
        assert await found.step() == 0
        found.clock.now += 2
        await found.step()
        assert await found.standing() == {"delivered": 2}


async def huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(10_000):
        await response.write(b"x" * 100_000)
    return response


async def silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


@pytest.mark.parametrize(("answer", "standing"), [(huge, "delivered"), (silent, "waiting")])
async def test_huge_and_slow_answers_cost_nothing(tmp_path: Path, answer: Answer, standing: str) -> None:
    receiver = Receiver(Company(tmp_path), answer)
    receiver.target()
    receiver.company.settings["webhooks"]["timeout_seconds"] = 0.3
    async with telling_of(receiver.company) as found, receiver.listening(), asyncio.timeout(10):
        await asked(found)
        await found.step()
        assert await found.standing() == {standing: 1}


@pytest.mark.parametrize("url", ["https://127.0.0.1:{port}/", "https://localhost:{port}/", "https://[::1]:{port}/"])
async def test_targets_inside_are_not_asked(tmp_path: Path, url: str) -> None:
    receiver = Receiver(Company(tmp_path))
    receiver.target(url=url.format(port=receiver.port))
    receiver.company.settings["webhooks"]["networks"] = []
    async with telling_of(receiver.company) as found, receiver.listening():
        await asked(found)
        await found.step()
        assert await found.standing() == {"waiting": 1}
    assert receiver.got == []


async def test_an_unsigned_letter_is_never_sent(tmp_path: Path) -> None:
    receiver = Receiver(Company(tmp_path))
    receiver.target()
    async with telling_of(receiver.company) as found, receiver.listening():
        await asked(found)
        (tmp_path / "secret").write_text("no key at all")
        await found.step()
        assert receiver.got == []
        [(_, letter)] = await found.letters.page("waiting", None, 9)
        assert "webhooks.targets.pager" in letter.detail
        assert "no key at all" not in letter.detail


async def test_an_escalation_that_came_too_late_is_not_told(tmp_path: Path) -> None:
    receiver = Receiver(Company(tmp_path))
    receiver.target()
    async with telling_of(receiver.company) as found, receiver.listening():
        need = life.Need(group="finance-leads", quorum=1, escalate_to="board", escalates=NOW // 1000 + 60)
        for name in ("a", "b"):
            await found.approvals.ask(an_approval(id=name, binding=name, needs=(need,)), "s", 9)
        approval = an_approval(id="b", binding="b", needs=(need,))
        await found.approvals.replace(approval, life.vote(approval, yes("ann")))
        await found.step()
        found.clock.now += 61
        await found.step()
    assert [each for each in receiver.ids if "escalated" in each] == ["a.1.escalated.pager.0"]
    assert len(receiver.ids) == 4
