"""A user's consent to the tracker, through the gateway's own link."""

from gateway.core.reasons import Reason
from tests.third_party import World
from tests.wire.mcp_calls import answer_of, bare, call, post, refusal_of


async def link_of(world: World, login: str = "maria") -> str:
    """The link that a call of the user's asks for."""
    async with bare(world.company, server="tracker", token=await world.token(login)) as wire:
        refused = await post(wire, call("whoami"))
    assert refusal_of(refused) == (403, 1403, Reason.CONSENT_REQUIRED)
    return str(answer_of(refused)["error"]["data"]["consent_url"])


async def consent(world: World, login: str = "maria", there: str = "maria-there") -> None:
    """The user's consent."""
    async with world.browser() as browser:
        status, page = await browser.consent(await link_of(world, login), login, there)
    assert (status, "may now be used in your name" in page) == (200, True), page


async def who(world: World, login: str = "maria", agent: str = "planner") -> str:
    """Whom the tracker takes the call for."""
    async with bare(world.company, agent, server="tracker", token=await world.token(login)) as wire:
        answer = answer_of(await post(wire, call("whoami")))
    return str(answer["result"]["structuredContent"]["result"])
