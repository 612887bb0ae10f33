"""Attack 34: somebody else's consent. A link, an answer or a page of the flow is used by who it isn't for, or where it
doesn't belong: consent by another user, replayed and foreign answers, mixed-up issuers, open redirects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from gateway.core.audit import ConsentRecord, decode
from gateway.core.reasons import Reason
from gateway.store.query import AuditReader
from tests.gateways import running
from tests.third_party import World, consent_world
from tests.wire.consenting import link_of, who


@asynccontextmanager
async def standing(directory: Path) -> AsyncIterator[World]:
    async with consent_world(directory, stateless=True) as world, running(world.company):
        yield world


def changed(url: str, **fields: str | None) -> str:
    """The URL with other query fields; None leaves one out."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | fields
    return urlunsplit(parts._replace(query=urlencode({k: v for k, v in query.items() if v is not None})))


def consents(world: World) -> list[ConsentRecord]:
    """What was recorded of consents, in a log that is intact."""
    reader = AuditReader(world.company.store_url)
    found = [decode(row.payload) for row in reader.rows()]
    assert reader.index_fault() is None
    return [record for record in found if isinstance(record, ConsentRecord)]


def used(answer: tuple[int, str]) -> bool:
    """Whether the gateway itself knows that this is the second time."""
    return answer[0] == 400 and "was used already" in answer[1]


async def test_the_link_in_another_users_hands_gives_them_nothing_and_takes_nothing(tmp_path: Path) -> None:
    async with standing(tmp_path) as world:
        link = await link_of(world)
        async with world.browser() as ivans:
            status, page = await ivans.consent(link, "ivan", "ivan-there")
            assert (status, Reason.CONSENT_USER.meaning.text.capitalize() in page) == (403, True)
            assert not any(visited.startswith(world.third) for visited in ivans.visited)
        assert await link_of(world)
        async with world.browser() as marias:
            assert (await marias.consent(link, "maria"))[0] == 200, "the link was not used up"
        assert await who(world) == "maria-there"
    recorded = [(r.user, r.server, r.issuer, r.scopes, r.reason) for r in consents(world)]
    about = ("tracker", world.third, ("offline_access", "issues"))
    assert recorded == [("corp|ivan", *about, Reason.CONSENT_USER), ("corp|maria", *about, Reason.PERMITTED)]


async def test_an_answer_is_good_once_and_so_is_the_link(tmp_path: Path) -> None:
    async with standing(tmp_path) as world, world.browser() as browser:
        link = await link_of(world)
        login = await browser.log_in(await browser.begin(link), "maria")
        status, there = await browser.answer(login)
        assert status == 303
        # Said by the gateway, before any authorization server is asked once more.
        assert used(await browser.answer(login))
        granted = await browser.log_in(there, "maria-there")
        assert (await browser.answer(granted))[0] == 200
        assert used(await browser.answer(granted))
        assert used(await browser.consent(link, "maria"))


async def test_another_browser_cannot_bring_the_answer(tmp_path: Path) -> None:
    """Session fixation: the attacker's own login or grant, brought by the victim's browser."""
    async with standing(tmp_path) as world, world.browser() as browser, world.browser() as other:
        link = await link_of(world)
        login = await browser.log_in(await browser.begin(link), "maria")
        assert (await other.answer(login))[0] == 400
        await other.begin(await link_of(world))
        assert (await other.answer(login))[0] == 400, "it has a secret of its own"
        granted = await browser.log_in((await browser.answer(login))[1], "maria-there")
        assert (await other.answer(granted))[0] == 400
        assert (await browser.answer(granted))[0] == 200


async def test_an_answer_of_another_issuer_is_refused(tmp_path: Path) -> None:
    """Mix-up (RFC 9207): the code of one authorization server must not be shown to another."""
    async with standing(tmp_path) as world, world.browser() as browser:
        login = await browser.log_in(await browser.begin(await link_of(world)), "maria")
        for wrong in (world.third, None, world.corp + "/"):
            assert (await browser.answer(changed(login, iss=wrong)))[0] == 400
        status, there = await browser.answer(login)
        assert status == 303, "what was refused before it was accepted is not used up"
        granted = await browser.log_in(there, "maria-there")
        assert (await browser.answer(changed(granted, iss=world.corp)))[0] == 400
        assert (await browser.answer(granted))[0] == 200


async def test_forged_states_tickets_and_methods_lead_nowhere(tmp_path: Path) -> None:
    async with standing(tmp_path) as world, world.browser() as browser:
        link = await link_of(world)
        ticket = parse_qs(urlsplit(link).query)["ticket"][0]
        login = await browser.log_in(await browser.begin(link), "maria")
        base = world.company.public_url
        for url in (
            changed(link, ticket=ticket[:-2] + "AA"),
            changed(login, state=ticket),
            changed(login, state=None),
            changed(link, ticket=parse_qs(urlsplit(login).query)["state"][0]),
            f"{base}/oauth/callback",
            f"{base}/oauth/callback?code=1&state=2&state=3",
            f"{base}/oauth/consent?ticket=https://evil.test",
        ):
            status, page = await browser.answer(url)
            assert (status, "location" in page) == (400, False), url
        # Without the page's own Origin nobody's browser is sent anywhere.
        for origin in ({}, {"Origin": "https://evil.test"}, {"Origin": "null"}):
            async with browser.http.post(
                f"{base}/oauth/consent", data={"ticket": ticket}, headers=origin, allow_redirects=False
            ) as response:
                assert (response.status, response.headers.get("location")) == (403, None)


async def test_redirects_lead_to_the_two_issuers_alone_whatever_the_answer_says(tmp_path: Path) -> None:
    async with standing(tmp_path) as world, world.browser() as browser:
        begun = await browser.begin(changed(await link_of(world), redirect_uri="https://evil.test", next="//evil.test"))
        assert begun.startswith(f"{world.corp}/")
        login = await browser.log_in(begun, "maria")
        status, there = await browser.answer(changed(login, redirect_uri="https://evil.test"))
        assert status == 303
        asked = parse_qs(urlsplit(there).query)
        assert there.startswith(f"{world.third}/")
        assert asked["redirect_uri"] == [f"{world.company.public_url}/oauth/callback"]
        assert (asked["code_challenge_method"], asked["resource"]) == (["S256"], [world.tracker.url])


async def test_a_page_changes_nothing_by_being_fetched_and_shows_itself_in_no_frame(tmp_path: Path) -> None:
    async with standing(tmp_path) as world, world.browser() as browser:
        link = await link_of(world)
        for _ in range(3):
            async with browser.http.get(link) as response:
                assert (response.status, response.headers.get("set-cookie")) == (200, None)
                assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
                assert response.headers["cache-control"] == "no-store"
        assert (await browser.consent(link, "maria"))[0] == 200
