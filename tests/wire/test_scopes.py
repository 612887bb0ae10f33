"""Scopes by operation: one challenge names all that a call needs, exactly that is enough, and no chain has more than
every agent of it was granted, takes and was left."""

import json
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

from gateway.config.problems import Problems
from gateway.core.audit import DecisionRecord
from gateway.publish import publish
from tests.company import Company
from tests.wire import agent as a2a
from tests.wire.delegate import ask, delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, modern, post, refusal_of, through_gateway

NEW = ["ledger/approve", "ledger/docs", "analyst/ask", "analyst/hooks"]


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """Each gateway scope is one of the issuer's own too, with a dot."""
    found = Company(tmp_path)
    for agent in found.registry["agents"].values():
        agent["scopes"] = [*agent["scopes"], *NEW]
    scopes = found.registry["agents"]["planner"]["scopes"]
    found.settings["issuers"][0]["scope_map"] = {scope.replace("/", "."): [scope] for scope in scopes}
    found.registry["servers"]["ledger"]["tools"]["pay"]["scopes"] = ["ledger/pay", "ledger/approve"]
    return found


def challenge(response: httpx2.Response | httpx.Response) -> dict[str, str]:
    """The parameters of the Bearer challenge; none where there is no challenge."""
    _, _, rest = response.headers.get("www-authenticate", "").partition(" ")
    return {name: value.strip('"') for name, _, value in (part.partition("=") for part in rest.split(", "))}


async def read(company: Company, message: Any, scope: str, agent: str = "planner") -> httpx2.Response:
    async with bare(company, agent, token=company.token(f"{company.data_url}/mcp/ledger", scope=scope)) as wire:
        return await post(wire, message)


async def test_one_challenge_names_all_that_a_tool_needs_and_exactly_that_is_enough(company: Company) -> None:
    message, ledger = call("pay", amount=5, to="ACME"), Ledger()
    async with through_gateway(company, ledger):
        for held in ("", "ledger.pay", "ledger.read_balance ledger.approve"):
            reply = await read(company, message, held)
            assert refusal_of(reply) == (403, 1403, "insufficient_scope"), held
            assert challenge(reply)["scope"] == "ledger.approve ledger.pay", "what it holds of them is named too"
        assert (await read(company, message, challenge(reply)["scope"])).status_code == 200
    [record] = [each.record for each in company.records() if each.record.reason == "permitted"]
    assert isinstance(record, DecisionRecord)
    assert record.minted is not None
    assert record.minted.scope == ("ledger/approve", "ledger/pay")


async def test_a_message_with_a_webhook_is_challenged_for_both(company: Company) -> None:
    company.registry["agents"]["analyst"]["upstream"]["needs"] = {
        "delegate": ["analyst/ask"], "createPushConfig": ["analyst/hooks"],
    }  # fmt: skip
    company.policies["platform/push.cedar"] = """
@id("hooks")
permit (principal, action in [Action::"createPushConfig"], resource is Agent);
"""
    plain, hooked = a2a.sending("hello"), a2a.sending("hello")
    hooked["params"]["configuration"] = {"taskPushNotificationConfig": {"url": "https://192.0.2.1/hook"}}

    async def sent(message: Any, scope: str) -> httpx.Response:
        async with a2a.bare(company, token=company.token(f"{company.data_url}/a2a/analyst", scope=scope)) as http:
            return await http.post(message)

    async with delegates(company, "analyst") as [analyst], through_gateway(company, Ledger()):
        assert (await sent(plain, "analyst.ask")).status_code == 200
        for held in ("", "analyst.ask", "analyst.hooks analyst.delegate"):
            assert challenge(await sent(hooked, held))["scope"] == "analyst.ask analyst.hooks", held
        reply = await sent(hooked, "analyst.ask analyst.hooks")
        assert "insufficient_scope" not in reply.text
        assert "www-authenticate" not in reply.headers
    assert analyst.tokens[0]["scope"] == "analyst/ask"


async def test_operations_of_a_server_need_what_it_declares(company: Company) -> None:
    company.registry["servers"]["ledger"] |= {
        "needs": {"readResource": ["ledger/docs"], "listTools": ["ledger/list_entries"]},
        "resources": {"file:///ledger/*": {"sets": ["reports"]}},
    }
    company.policies["platform/documents.cedar"] = """
@id("reports")
permit (principal, action in [Action::"readResource", Action::"subscribe"], resource);
"""
    one, other = "file:///ledger/2026.csv", "file:///keys/signing.pem"
    company.registry["servers"]["ledger"]["resources"][other] = {"scopes": ["ledger/approve"]}
    listen = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": [one, other]}})
    async with through_gateway(company, Ledger()):
        for message, needs in (
            (modern("resources/read", {"uri": one}), "ledger.docs"),
            (modern("resources/read", {"uri": other}), "ledger.approve"),
            (modern("tools/list"), "ledger.list_entries"),
            (listen, "ledger.approve ledger.docs"),
        ):
            reply = await read(company, message, "ledger.read_balance")
            assert refusal_of(reply) == (403, 1403, "insufficient_scope")
            assert challenge(reply)["scope"] == needs
        message = modern("resources/read", {"uri": one})
        assert (await read(company, message, "ledger.docs")).status_code == 200


async def test_policy_is_asked_first_and_never_challenges(company: Company) -> None:
    async with through_gateway(company, Ledger()):
        reply = await read(company, call("delete_all"), "")
        asked = await read(company, call("pay", amount=5000, to="ACME"), "")
    assert refusal_of(reply) == (403, 1403, "no_permit")
    assert refusal_of(asked) == (403, 1428, "approval_required")
    for each in (reply, asked):
        assert "www-authenticate" not in each.headers


async def test_what_another_issuer_could_give_cures_nothing(company: Company) -> None:
    own, other = company.settings["issuers"][0], dict(company.settings["issuers"][0])
    company.settings["issuers"].append(other | {"name": "partner", "issuer": "https://partner.test"})
    own["scope_map"] = {"ledger.read_balance": ["ledger/read_balance"]}
    async with through_gateway(company, Ledger()):
        reply = await read(company, call("pay", amount=5, to="ACME"), "ledger.read_balance")
        async with bare(company, token=None) as wire:
            nobody = await post(wire, call("pay", amount=5, to="ACME"), {"Authorization": "Bearer x"})
    assert refusal_of(reply) == (403, 1403, "scope_ceiling")
    assert "www-authenticate" not in reply.headers
    assert "scope" not in challenge(nobody), "a scope is a word of one issuer"


async def held_by(company: Company, headers: dict[str, str] | None = None) -> set[str]:
    """``del_scope`` of the analyst's token when the planner asks it."""
    async with delegates(company, "analyst") as [analyst], through_gateway(company, Ledger()):
        url = f"{company.data_url}/a2a/analyst"
        scopes = " ".join(company.settings["issuers"][0]["scope_map"])
        async with a2a.bare(company, token=company.token(url, scope=scopes)) as http:
            http.http.headers.update(headers or {})
            reply = await http.post(a2a.sending("hello"))
        assert reply.status_code == 200, reply.text
        assert "hopgate-del-scope" not in analyst.headers[-1]
    return set(analyst.tokens[-1]["del_scope"].split())


async def test_a_delegator_leaves_its_delegate_less(company: Company) -> None:
    whole = await held_by(company)
    assert {"ledger/read_balance", "ledger/pay"} <= whole
    assert await held_by(company, {"Hopgate-Del-Scope": "ledger/read_balance"}) == {"ledger/read_balance"}
    assert await held_by(company, {"Hopgate-Del-Scope": "ledger/read_balance admin/all"}) == {"ledger/read_balance"}
    assert await held_by(company, {"Hopgate-Del-Scope": ""}) == set()


async def test_an_agent_takes_no_more_than_its_ceiling(company: Company) -> None:
    company.registry["agents"]["analyst"]["upstream"]["ceiling"] = ["ledger/read_balance", "ledger/count"]
    assert await held_by(company) == {"ledger/read_balance", "ledger/count"}


async def test_what_was_left_holds_for_the_rest_of_the_chain(company: Company) -> None:
    company.registry["agents"]["analyst"]["upstream"]["ceiling"] = ["ledger/read_balance"]
    scopes, ledger = " ".join(company.settings["issuers"][0]["scope_map"]), Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        root = company.token(f"{company.data_url}/a2a/analyst", scope=scopes)
        held = await delegated(company, analyst, token=root)
        async with bare(company, "analyst", token=held) as wire:
            assert (await post(wire, call("read_balance"))).status_code == 200
            reply = await post(wire, call("pay", amount=5, to="ACME"))
            assert refusal_of(reply) == (403, 1403, "scope_ceiling")
            assert "www-authenticate" not in reply.headers
        asked = await ask(company, "analyst", "planner", held)
    assert asked.json()["error"]["data"]["reason"] in {"scope_ceiling", "forbidden"}
    assert [name for name, _ in ledger.calls] == ["read_balance"]


@pytest.mark.parametrize("value", ['a"b', "a\\b"])
async def test_a_request_for_less_that_is_no_list_of_scopes(company: Company, value: str) -> None:
    async with (
        delegates(company, "analyst") as [analyst],
        through_gateway(company, Ledger()),
        a2a.bare(company) as http,
    ):
        http.http.headers["Hopgate-Del-Scope"] = value
        company_wide = company.token(f"{company.data_url}/a2a/analyst", scope="analyst.delegate")
        http.http.headers["Authorization"] = f"Bearer {company_wide}"
        reply = await http.post(a2a.sending("hello"))
    assert reply.json()["error"]["data"]["reason"] == "message_invalid"
    assert reply.status_code == 400
    assert analyst.headers == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"needs": {"readTool": ["ledger/pay"]}}, "servers.ledger.needs"),
        ({"needs": {"getPrompt": []}}, "servers.ledger.needs.getPrompt"),
        ({"prompts": {"a*b": {}}}, "servers.ledger.prompts"),
    ],
)
def test_what_can_mean_nothing_is_refused_with_its_place(company: Company, change: Any, line: str) -> None:
    company.registry["servers"]["ledger"] |= change
    found = publish(company.write(), {}, 1, None)
    assert isinstance(found, Problems)
    assert any(line in str(problem) for problem in found.errors), json.dumps([str(each) for each in found.errors])


def test_a_ceiling_of_scopes_that_nothing_needs_is_a_warning(company: Company) -> None:
    company.registry["agents"]["analyst"]["upstream"]["ceiling"] = ["ledger/raed_balance"]
    found = publish(company.write(), {}, 1, None)
    assert not isinstance(found, Problems)
    [warning] = [each for each in found.warnings if "raed_balance" in str(each)]
    assert "ledger/read_balance" in str(warning)
