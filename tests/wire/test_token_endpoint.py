"""``/oauth/token`` before any grant: who is asked, in which form, and how it refuses; every refusal is recorded."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from gateway.core.audit import RefusedRecord
from tests.company import Company
from tests.gateways import running
from tests.wire.token_endpoint import EXCHANGE, ask, error_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    company = Company(tmp_path_factory.mktemp("company"))
    async with running(company):
        yield company


REQUESTS: Mapping[str, tuple[Any, Mapping[str, str], tuple[int, str, str]]] = {
    "no grant": ({"scope": "x"}, {}, (400, "invalid_request", "token_request_invalid")),
    "an empty grant": ({"grant_type": ""}, {}, (400, "invalid_request", "token_request_invalid")),
    "another grant": (
        {"grant_type": "client_credentials"},
        {},
        (400, "unsupported_grant_type", "grant_unsupported"),
    ),
    "a parameter twice": (
        [("grant_type", EXCHANGE), ("grant_type", EXCHANGE)],
        {},
        (400, "invalid_request", "token_request_invalid"),
    ),
    "two resources": ([("resource", "a"), ("resource", "b")], {}, (400, "invalid_target", "target_unknown")),
    "no form": (b"{}", {}, (400, "invalid_request", "token_request_invalid")),
    "bytes beyond ASCII": ("grant_type=ü".encode(), {}, (400, "invalid_request", "token_request_invalid")),
    "broken UTF-8": (b"grant_type=%ff", {}, (400, "invalid_request", "token_request_invalid")),
    "too many fields": (
        [(f"f{number}", "1") for number in range(33)],
        {},
        (400, "invalid_request", "token_request_invalid"),
    ),
    "too large": (b"grant_type=" + b"x" * 33_000, {}, (413, "invalid_request", "body_too_large")),
    "JSON": (b"{}", {"Content_Type": "application/json"}, (415, "invalid_request", "content_type")),
    "compressed": (b"x", {"Content_Encoding": "gzip"}, (415, "invalid_request", "content_type")),
    "a password too": (
        {"grant_type": EXCHANGE},
        {"Authorization": "Basic YTpi"},
        (400, "invalid_request", "token_request_invalid"),
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_what_is_no_token_request(company: Company, case: str) -> None:
    form, headers, expected = REQUESTS[case]
    reply = await ask(company, "planner", form, **headers)
    assert error_of(reply) == expected
    record = company.records()[-1].record
    assert isinstance(record, RefusedRecord)
    assert (record.id, record.reason) == (reply.json()["decision_id"], expected[2])
    assert record.agent is not None
    assert record.agent.name == "planner"


async def test_other_methods_and_a_query(company: Company) -> None:
    for method in ("GET", "PUT"):
        reply = await ask(company, "planner", b"", method=method)
        assert error_of(reply) == (405, "invalid_request", "http_method")
        assert reply.headers["allow"] == "POST"
    reply = await ask(company, "planner", {"grant_type": EXCHANGE}, query="?scope=x")
    assert error_of(reply) == (400, "invalid_request", "token_request_invalid")


async def test_a_description_is_plain_ascii(company: Company) -> None:
    reply = await ask(company, "planner", {"grant_type": 'ü"\\'})
    description = reply.json()["error_description"]
    assert description.isascii()
    assert not {'"', "\\"} & set(description)


async def test_the_public_listener_has_no_token_endpoint(company: Company) -> None:
    async with httpx2.AsyncClient(verify=company.anyone()) as http:
        reply = await http.post(f"{company.public_url}/oauth/token", data={"grant_type": EXCHANGE})
    assert (reply.status_code, reply.json()["reason"]) == (404, "route_unknown")
