"""Attack 23: a token that was good, presented again by another, elsewhere, or after its time."""

import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import jwt
import pytest
import pytest_asyncio

from gateway.core.reasons import Reason
from gateway.identity.signer import Signer, load_signer
from tests.company import Company
from tests.wire.delegate import ask, delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, record_of, refusal_of, through_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ = call("read_balance")


class Stage(NamedTuple):
    company: Company
    ledger: Ledger
    held: str
    """The hop token that the analyst received."""
    signer: Signer
    """The gateway's own key: what it signed some time ago is made by it."""

    async def present(self, token: str, agent: str | None = "planner") -> tuple[int, int, str] | int:
        """The refusal of a call with ``token``, recorded and not forwarded; or the status."""
        before = len(self.ledger.headers)
        async with bare(self.company, agent, token=token) as wire:
            reply = await post(wire, READ)
        if reply.status_code == 200:
            return 200
        assert len(self.ledger.headers) == before
        if agent is not None:
            assert record_of(self.company, reply).record.reason == refusal_of(reply)[2]
        return refusal_of(reply)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    for name in ("auditor", "outsider"):
        company.registry["agents"][name] |= {"entry_point": True, "clients": ["cli"]}
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        yield Stage(company, ledger, held, load_signer((company.directory / "signing.pem").read_bytes()))


def root(stage: Stage, **claims: Any) -> str:
    return stage.company.token(f"{stage.company.data_url}/mcp/ledger", **claims)


def aged(stage: Stage, **changed: int) -> str:
    """The analyst's token as it would be had it been minted at another time."""
    claims = jwt.decode(stage.held, options={"verify_signature": False})
    return stage.signer.sign({**claims, **changed})


async def test_a_root_token_is_its_first_presenters(stage: Stage) -> None:
    token = root(stage)
    assert await stage.present(token) == 200
    for other in ("auditor", "outsider"):
        assert await stage.present(token, other) == (403, 1403, Reason.ROOT_TOKEN_BOUND)
    assert await stage.present(token) == 200, "the first one keeps it"


async def test_a_root_token_is_bound_also_by_a_call_that_was_denied(stage: Stage) -> None:
    token = root(stage)
    async with bare(stage.company, "auditor", token=token) as wire:
        assert refusal_of(await post(wire, call("delete_all")))[0] == 403
    assert await stage.present(token) == (403, 1403, Reason.ROOT_TOKEN_BOUND)


@pytest.mark.parametrize("ago", [61, 3600, 86_400])
async def test_a_root_token_ends(stage: Stage, ago: int) -> None:
    now = int(time.time())
    token = root(stage, exp=now - ago, iat=now - 2 * ago)
    assert await stage.present(token) == (401, 1401, Reason.TOKEN_EXPIRED)


async def test_a_root_token_from_the_future_is_none_yet(stage: Stage) -> None:
    now = int(time.time())
    assert await stage.present(root(stage, nbf=now + 600)) == (401, 1401, Reason.TOKEN_EXPIRED)
    assert await stage.present(root(stage, iat=now + 600, exp=now + 1200)) == (401, 1401, Reason.TOKEN_EXPIRED)


async def test_a_hop_token_is_its_holders(stage: Stage) -> None:
    assert await stage.present(stage.held, "analyst") == 200
    for thief in ("planner", "auditor", "outsider", "cron"):
        assert await stage.present(stage.held, thief) == (403, 1403, Reason.CHAIN_HOLDER), thief
        assert (await ask(stage.company, thief, "analyst", stage.held)).status_code == 403


async def test_a_hop_token_is_nothing_without_a_certificate(stage: Stage) -> None:
    assert await stage.present(stage.held, None) == (403, 1403, Reason.CHAIN_HOLDER)


async def test_a_hop_token_proves_its_chain_until_the_chain_ends(stage: Stage) -> None:
    """Beyond its own ``exp``, for agents that think for minutes; not beyond ``root_exp``."""
    now = int(time.time())
    assert await stage.present(aged(stage, iat=now - 300, nbf=now - 300, exp=now - 180), "analyst") == 200
    ended = aged(stage, iat=now - 900, nbf=now - 900, exp=now - 780, root_exp=now - 1)
    assert await stage.present(ended, "analyst") == (401, 1401, Reason.CHAIN_EXPIRED)


async def test_an_ended_chain_is_not_revived_by_another_hop(stage: Stage) -> None:
    now = int(time.time())
    ended = aged(stage, iat=now - 900, nbf=now - 900, exp=now - 780, root_exp=now - 1)
    reply = await ask(stage.company, "analyst", "planner", ended)
    assert (reply.status_code, reply.json()["error"]["data"]["reason"]) == (401, Reason.CHAIN_EXPIRED)


async def test_the_children_of_a_chain_never_outlive_it(stage: Stage) -> None:
    now = int(time.time())
    brief = aged(stage, exp=now + 20, root_exp=now + 20)
    assert await stage.present(brief, "analyst") == 200
    minted = stage.ledger.headers[-1]["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(minted, options={"verify_signature": False})
    assert claims["root_exp"] == now + 20
    assert claims["exp"] <= now + 20
