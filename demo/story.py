"""The story: what Maria asks, what her agents do with it, and what somebody tries who shouldn't.

Each scene is played by official clients and ends in a reason code of the gateway. Nothing is asserted here;
``run`` compares how a scene ended with how it must end.
"""

import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
from a2a.client import ClientConfig, create_client
from a2a.utils.errors import A2AError
from mcp.shared.exceptions import MCPError

from demo.agents.conversation import Answer, ToolFailedError, content_of, question, read_answer, tools_of
from demo.company import CLIENT, GUEST, MARIA, SCOPE
from demo.issuer import Issuer
from demo.refusal import RefusedError, refusals
from demo.site import Site
from demo.workload import SECONDS

PERMITTED = "permitted"
FAILED = "failed"
"""Not a reason of the gateway's: the scene broke off."""
SDK_ERRORS = (A2AError, MCPError, httpx.HTTPError, httpx2.HTTPError, ExceptionGroup)


@dataclass(frozen=True)
class Ending:
    """How a scene ended: a reason code, a sentence, and the facts that an answer carried."""

    reason: str
    text: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One scene's surroundings. Its trace id finds the scene's records afterwards."""

    site: Site
    issuer: Issuer
    trace_id: str
    heard: Callable[[str], None]

    def headers(self, authorization: str) -> dict[str, str]:
        """Headers of a client: its token, and a trace of its own."""
        return {"authorization": authorization, "traceparent": f"00-{self.trace_id}-{os.urandom(8).hex()}-01"}

    def token_for(self, resource: str) -> str:
        """A fresh bearer token of Maria's for the route whose URL is ``resource``."""
        return f"Bearer {self.issuer.mint(MARIA, resource, CLIENT, SCOPE)}"


Play = Callable[[Stage], Awaitable[Answer]]


@dataclass(frozen=True)
class Scene:
    """What happens, how it must end, and which facts a permitted answer must hold."""

    title: str
    expected: str
    play: Play
    facts: tuple[tuple[str, Any], ...] = ()


async def run(scene: Scene, stage: Stage) -> Ending:
    """Play the scene to its end, permitted or refused."""
    try:
        answer = await scene.play(stage)
    except RefusedError as refused:
        answer = Answer.stopped(refused.refusal)
    except (*SDK_ERRORS, ToolFailedError, OSError) as error:
        return Ending(FAILED, f"{type(error).__name__}: {error}", {})
    if answer.refusal is None:
        return Ending(PERMITTED, answer.text, dict(answer.facts))
    return Ending(answer.refusal.reason, answer.text, dict(answer.facts))


def maria_asks(text: str) -> Play:
    """Maria's own client asks the planner on the public listener: no client certificate, her token."""

    async def play(stage: Stage) -> Answer:
        tls = ssl.create_default_context(cafile=stage.site.trust_bundle)
        url = f"{stage.site.public_url}/a2a/planner"
        headers = stage.headers(stage.token_for(url))
        async with httpx.AsyncClient(verify=tls, headers=headers, timeout=SECONDS, trust_env=False) as http:
            with refusals("maria → planner"):
                client = await create_client(url, ClientConfig(httpx_client=http))
                return await read_answer(client.send_message(question(text)), stage.heard)

    return play


async def stolen_token(stage: Stage) -> Answer:
    """The auditor found the hop token that the analyst leaked, and presents it over its own mTLS."""
    stolen = stage.site.leaked_token.read_text(encoding="ascii")
    return await _read_ledger(stage, "auditor", stolen)


async def reset_chain(stage: Stage) -> Answer:
    """The analyst got hold of a token of Maria's and begins a chain of its own, as if it were the first."""
    return await _read_ledger(stage, "analyst", stage.token_for(f"{stage.site.data_url}/mcp/ledger"))


async def guest_reads(stage: Stage) -> Answer:
    """An agent registered a minute ago, named in no policy, acts for Maria at once."""
    return await _read_ledger(stage, GUEST, stage.token_for(f"{stage.site.data_url}/mcp/ledger"))


async def second_presenter(stage: Stage) -> Answer:
    """Two entry agents present the same token of Maria's: the second one can't have got it from her."""
    token = stage.token_for(f"{stage.site.data_url}/mcp/reports")
    for presenter in ("planner", GUEST):
        async with tools_of(stage.site.workload(presenter), "reports", stage.headers(token)) as reports:
            await reports.call_tool("publish_report", {"title": "minutes", "body": f"by {presenter}"})
    return Answer("both presenters were served")


async def _read_ledger(stage: Stage, workload: str, authorization: str) -> Answer:
    async with tools_of(stage.site.workload(workload), "ledger", stage.headers(authorization)) as ledger:
        found = await ledger.call_tool("read_balance", {"account": "payroll"})
    balance = content_of(found)["balance"]
    return Answer(f"payroll holds {balance} euros", {"balance": balance})


SCENES = (
    Scene(
        "Maria asks the planner, it asks the analyst, that reads the ledger",
        PERMITTED,
        maria_asks("balance of operations"),
        (
            ("balance", 128_150),
            ("progress", 3),
            ("tools", ["list_entries", "pay", "read_balance"]),
            ("report", 1),
        ),
    ),
    Scene(
        "an agent with no code for chains, only stock tracing, reads the ledger",
        PERMITTED,
        maria_asks("short answer on operations"),
        (("balance", 128_150), ("report", 2)),
    ),
    Scene(
        "a new agent, named in no policy, reads the ledger for Maria",
        PERMITTED,
        guest_reads,
        (("balance", 310_000),),
    ),
    Scene("the analyst pays 250 euros", PERMITTED, maria_asks("pay 250 to Stationers"), (("paid", 250),)),
    Scene("the analyst pays 5000 euros", "approval_required", maria_asks("pay 5000 to Builders")),
    Scene("the auditor, of medium risk, reads the ledger", "no_permit", maria_asks("audit of operations")),
    Scene("a fourth agent in one chain reads the ledger", "forbidden", maria_asks("second opinion on operations")),
    Scene("the auditor presents a hop token stolen from the analyst", "chain_holder", stolen_token),
    Scene("the analyst starts over with Maria's own token", "entry_point_required", reset_chain),
    Scene("a second agent presents a token that the planner used first", "root_token_bound", second_presenter),
)
