"""Which resources and prompts can be named: one text for one thing, as policies compare it."""

from typing import Any

import pytest

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Uid
from gateway.core.reasons import Reason
from gateway.protocols.mcp.methods import METHODS
from gateway.protocols.mcp.targets import check_uri, target_of


def target(method: str, **params: Any) -> tuple[str, Uid]:
    return target_of(method, METHODS[method], params, "ledger", Limits())


@pytest.mark.parametrize(
    "uri",
    [
        "file:///reports/2026.csv",
        "file:///reports/a%20b/%C3%BC",
        "test://template/{id}/data",
        "ui:x",
        "https://host/a?from=../b",
        "repo://a/b/contents/c%2Fd",
        "note://Zürich/…",
        "file:///.hidden/..x/x..",
    ],
)
def test_uris_that_mean_themselves(uri: str) -> None:
    check_uri(uri)
    assert target("resources/read", uri=uri) == (uri, Uid("McpResource", f"ledger/{uri}"))


@pytest.mark.parametrize(
    "uri",
    [
        "file:///public/../secret",
        "file:///public/%2e%2E/secret",
        "file:///public%2F..%2Fsecret",
        "file:///public/%252e%252e/secret",
        "file:///public/..",
        "file:///public\\..\\secret",
        "file:///public/%5c..%5csecret",
        "file:///public/./x",
        "file:///a/..?x",
        "file:///a%00b",
        "file:///a\nb",
        "FILE:///x",
        "file",
        ":x",
        "fi le:x",
        "x:" + "a" * 2047,
        "x:%" + "25" * 9 + "2e",
    ],
)
def test_uris_that_a_server_could_take_for_others(uri: str) -> None:
    for method, params in (
        ("resources/read", {"uri": uri}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": uri}}),
    ):
        with pytest.raises(ProtocolError) as caught:
            target(method, **params)
        assert (caught.value.reason, caught.value.code) == (Reason.MESSAGE_INVALID, -32602)


@pytest.mark.parametrize("name", ["", "a\nb", "a" * 257, None, 1])
def test_names_that_are_none(name: object) -> None:
    for method, params in (
        ("prompts/get", {"name": name}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": name}}),
    ):
        with pytest.raises(ProtocolError):
            target(method, **params)


@pytest.mark.parametrize(
    "ref",
    [
        {"type": "ref/prompt", "name": "a", "uri": "x:y"},
        {"type": "ref/prompt", "name": "a", "Name": "b"},
        {"type": "ref/resource", "name": "a"},
        {"type": ["ref/prompt"], "name": "a"},
    ],
)
def test_a_completion_is_of_one_thing(ref: object) -> None:
    with pytest.raises(ProtocolError):
        target("completion/complete", ref=ref)
