"""Who gets in: nobody without credentials, everybody only as far as policy says, and every refusal on record."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.admin.api import ENDPOINTS
from gateway.core.reasons import Reason
from tests.admin.conftest import ANALYST, Desk
from tests.company import Company
from tests.gateways import running
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway
from tests.wire.test_reload import until

UNKNOWN = "01a20df131fc143df4129eac1b9232b0"
APPROVALS = "/api/v1/approvals"
DECIDING = {f"{APPROVALS}/{{id}}/approve", f"{APPROVALS}/{{id}}/refuse"}
"""What only members of the needed groups may."""
NOT_VIEWERS = {"decisions", "limits", "webhooks", "kernel", "shadow-agents"}
"""What tells of people, or of machines, more than a viewer needs."""
EVERY = [(each.method, each.path.replace("{id}", UNKNOWN).replace("{number}", "1")) for each in ENDPOINTS]
BODIES: dict[str, Any] = {
    "/api/v1/revocations": ANALYST,
    "/api/v1/policies/versions": {"files": {}, "folder": "platform", "comment": "nothing is left"},
    "/api/v1/policies/rollback": {"version": 1, "comment": "as it was"},
    "/api/v1/policies/replay": {"since": 0},
}
QUERIES = {"/api/v1/policies/diff": {"before": 1}}


async def ask(http: httpx2.AsyncClient, method: str, path: str, **more: Any) -> httpx2.Response:
    body = {"json": BODIES.get(path, {})} if method == "POST" else {}
    return await http.request(method, path, params=QUERIES.get(path), **(body | more))


async def in_force(desk: Desk) -> dict[str, str]:
    """The header that says that the version in force was seen."""
    async with desk.override() as http:
        return {"If-Match": (await http.get("/api/v1/policies")).headers["etag"]}


def refusal_of(answer: httpx2.Response) -> tuple[int, str]:
    """Status and reason of a problem document, whose shape is checked."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    found = answer.json()
    assert found["status"] == answer.status_code
    assert found["title"] == Reason(found["reason"]).meaning.text
    assert found["type"] == f"urn:hopgate:reason:{found['reason']}"
    assert found["id"]
    return answer.status_code, found["reason"]


async def test_without_credentials_every_endpoint_is_401_and_leaves_no_record(desk: Desk) -> None:
    async with desk.person(None) as http:
        for method, path in [*EVERY, ("GET", "/"), ("GET", "/api/v1/secrets")]:
            answer = await ask(http, method, path)
            assert refusal_of(answer) == (401, "token_missing")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert desk.records() == ()


async def test_without_a_role_every_endpoint_is_403_and_recorded(desk: Desk) -> None:
    seen = await in_force(desk)
    async with desk.person("nobody") as http:
        for method, path in EVERY:
            answer = await ask(http, method, path, headers=seen)
            if path == APPROVALS:
                # Whoever is known may look for what is theirs to decide, and finds nothing else.
                assert answer.json() == {"approvals": [], "next": None}
                continue
            assert refusal_of(answer) == (403, "no_permit")
            record = desk.record(answer.json()["id"])
            assert (record.caller.id, record.caller.via, record.verdict) == ("corp|nobody", "oidc", "deny")
            assert (record.method, record.path, record.policies) == (method, path, ())


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (
            "viewer",
            {
                f"GET {each.path}"
                for each in ENDPOINTS
                if each.method == "GET" and not NOT_VIEWERS & {*each.path.split("/")}
            },
        ),
        ("auditor", {f"{each.method} {each.path}" for each in ENDPOINTS if not each.writes}),
        (
            "operator",
            {
                f"{each.method} {each.path}"
                for each in ENDPOINTS
                if each.path not in DECIDING and "publish" not in each.question.__module__
            },
        ),
    ],
)
async def test_each_role_may_what_the_shipped_policies_say(desk: Desk, role: Any, allowed: set[str]) -> None:
    found, seen = set(), await in_force(desk)
    async with desk.person(role) as http:
        for method, path in EVERY:
            if (await ask(http, method, path, headers=seen)).status_code != 403:
                found.add(f"{method} {path.replace(UNKNOWN, '{id}').replace('/1', '/{number}')}")
    assert found == allowed


async def test_a_group_serves_as_a_role_does(desk: Desk) -> None:
    async with desk.person("nobody", groups=["hopgate-viewers"]) as http:
        assert (await http.get("/api/v1/revocations")).status_code == 200


async def test_automation_may_stop_things_briefly_and_not_lift(desk: Desk) -> None:
    async with desk.agent("outsider") as http:
        made = await http.post("/api/v1/revocations", json=ANALYST | {"for_seconds": 600})
        assert made.status_code == 201
        assert made.json()["by"] == "spiffe://demo.test/agent/outsider"
        record = desk.record(made.json()["id"])
        assert (record.caller.via, record.caller.name, record.policies) == ("mtls", "outsider", ("admin-responders",))
        assert refusal_of(await http.post("/api/v1/revocations", json=ANALYST)) == (403, "forbidden")
        halt = {"target": {"kind": "all"}, "reason": "r", "for_seconds": 60}
        assert refusal_of(await http.post("/api/v1/revocations", json=halt)) == (403, "no_permit")
        assert refusal_of(await http.delete(made.headers["location"])) == (403, "no_permit")
    async with desk.agent("cron") as http:
        assert refusal_of(await http.get("/api/v1/revocations")) == (403, "no_permit")
    async with desk.agent("retired") as http:
        assert refusal_of(await http.get("/api/v1/revocations")) == (403, "agent_suspended")


async def test_a_certificate_of_nobody_registered_administers_nothing(desk: Desk) -> None:
    async with desk.agent("stranger") as http:
        assert refusal_of(await http.get("/api/v1/revocations")) == (403, "agent_unregistered")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"audience": "https://127.0.0.1/mcp/ledger"}, "token_audience"),
        ({"audience": ["hopgate-admin", "other"]}, "token_audience"),
        ({"iss": "https://elsewhere.test"}, "token_issuer"),
        ({"exp": 1_700_000_000}, "token_expired"),
        ({"exp": None}, "token_claims"),
        ({"nonce": "n"}, "token_type"),
        ({"cnf": {"x5t#S256": "other"}}, "token_claims"),
    ],
)
async def test_a_token_is_read_as_strictly_as_on_the_data_path(desk: Desk, claims: Any, reason: str) -> None:
    async with desk.person("operator", **claims) as http:
        answer = await http.get("/api/v1/revocations")
        assert refusal_of(answer) == (401, reason)
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_token_for_a_route_administers_nothing_and_an_admin_token_calls_nothing(desk: Desk) -> None:
    route = f"{desk.company.data_url}/mcp/ledger"
    async with desk.person("operator", audience=route) as http:
        assert refusal_of(await http.get("/api/v1/revocations")) == (401, "token_audience")
    headers = {"Authorization": f"Bearer {desk.token('operator')}"}
    async with httpx2.AsyncClient(verify=desk.company.client("planner"), headers=headers) as http:
        answer = await http.post(route, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert answer.json()["error"]["data"]["reason"] == "token_audience"


async def test_a_token_wins_over_the_certificate_beside_it(desk: Desk) -> None:
    async with desk.agent("outsider") as http:
        headers = {"Authorization": f"Bearer {desk.token('nobody')}"}
        assert refusal_of(await http.get("/api/v1/revocations", headers=headers)) == (403, "no_permit")


async def test_other_hosts_and_origins_are_refused(desk: Desk) -> None:
    async with desk.person("operator") as http:
        for header, reason in (
            ({"Host": "evil.test"}, "host_forbidden"),
            ({"Origin": "https://evil.test"}, "origin_forbidden"),
        ):
            assert refusal_of(await http.get("/api/v1/revocations", headers=header)) == (403, reason)


async def test_who_is_revoked_administers_nothing_but_the_kill_switch_locks_nobody_out(desk: Desk) -> None:
    async with desk.person("operator") as ann, desk.person("operator", sub="bob") as bob:
        halt = await ann.post("/api/v1/revocations", json={"target": {"kind": "all"}, "reason": "drill"})
        assert halt.status_code == 201
        assert desk.record(halt.json()["id"]).action == "halt"
        stopped = {"target": {"kind": "user", "user": "corp|bob"}, "reason": "left"}
        made = await ann.post("/api/v1/revocations", json=stopped)
        assert refusal_of(await bob.delete(made.headers["location"])) == (403, "revoked")
        assert (await ann.delete(halt.headers["location"])).status_code == 204
        by_group = {"target": {"kind": "attribute", "attribute": "group", "value": "hopgate-responders"}, "reason": "r"}
        await ann.post("/api/v1/revocations", json=by_group)
    async with desk.agent("outsider") as http:
        assert refusal_of(await http.get("/api/v1/revocations")) == (403, "revoked")


async def test_without_admin_policies_only_the_socket_administers(company: Company) -> None:
    del company.policies["admin/roles.cedar"]
    async with running(company):
        desk = Desk(company)
        async with desk.person("operator") as http, desk.override() as own:
            assert refusal_of(await http.get("/api/v1/revocations")) == (403, "no_permit")
            assert (await own.post("/api/v1/revocations", json=ANALYST)).status_code == 201


async def test_without_issuers_no_token_administers(company: Company) -> None:
    company.settings["listen"]["admin"] = {"port": company.settings["listen"]["admin"]["port"]}
    async with running(company), Desk(company).person("operator") as http:
        assert refusal_of(await http.get("/api/v1/revocations")) == (401, "token_issuer")


async def test_admin_policies_are_taken_over_as_they_change_and_the_last_good_ones_stay(desk: Desk) -> None:
    company = desk.company
    async with desk.person("viewer") as http:
        assert (await http.get("/api/v1/revocations")).status_code == 200
        company.policies["admin/roles.cedar"] = '@id("broken")\npermit (principal, action, resource) when { nonsense };'
        company.write()
        found = await until(company, lambda found: bool(found["configuration"] != "ok"))
        assert "admin/roles.cedar:2: not valid Cedar" in found["configuration"]
        assert (await http.get("/api/v1/revocations")).status_code == 200
        company.policies["admin/roles.cedar"] = '@id("none")\nforbid (principal, action, resource);'
        company.write()
        await until(company, lambda found: bool(found["generation"] == 2))
        assert refusal_of(await http.get("/api/v1/revocations")) == (403, "forbidden")
        assert desk.records()[-1].policies == ("none",)


async def test_an_audience_that_an_issuer_has_everywhere_is_not_one_for_here(company: Company) -> None:
    company.settings["issuers"][0]["audience"] = "everywhere"
    async with running(company), Desk(company).person("operator", audience="everywhere") as http:
        assert refusal_of(await http.get("/api/v1/revocations")) == (401, "token_audience")


async def test_a_certificate_of_another_company_ends_the_handshake(desk: Desk, tmp_path: Path) -> None:
    other = Company(tmp_path / "other").svid("agent/outsider")
    context = desk.company.anyone()
    context.load_cert_chain(other.certificate, other.key)
    async with httpx2.AsyncClient(base_url=desk.url, verify=context) as http:
        with pytest.raises(httpx2.TransportError):
            await http.get("/api/v1/revocations")


async def test_a_hop_token_administers_nothing(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        hop = ledger.headers[-1]["authorization"]
        async with Desk(company).person(None) as http:
            answer = await http.get("/api/v1/revocations", headers={"Authorization": hop})
            assert refusal_of(answer) == (401, "token_signature")


async def test_the_web_certificate_is_shown_where_one_is_configured(company: Company) -> None:
    web = company.svid("web/admin")
    company.settings["identity"]["public"] = {"certificate": str(web.certificate), "key": str(web.key)}
    async with running(company):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", company.settings["listen"]["admin"]["port"], ssl=company.anyone()
        )
        shown = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
    assert ("URI", "spiffe://demo.test/web/admin") in shown["subjectAltName"]
