"""The API on its socket: what is asked is done or refused with a reason, a place and a next step."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopgate_bpf.rules.names import LookupFailed
from hopgate_bpf.rules.refusal import RefusedError
from tests.bpf.documents import Signer, class_rules, document, network
from tests.bpf.nodes import CGROUP2, Place
from tests.bpf.serving import Api, serving


async def test_rules_are_pushed_and_shown(place: Place) -> None:
    place.kernel.not_enforced = ("files: no BPF LSM",)
    async with serving(place) as api:
        status, said = await api.push(place.signer.signed(document(generation=7)))
        assert (status, said["generation"], said["not_enforced"]) == (200, 7, ["files: no BPF LSM"])
        status, shown = await api.ask("GET", "/v1/status")
        assert (status, shown["generation"], shown["agrees"]) == (200, 7, True)
        assert shown["in_kernel"] == {"loaded": True, "generation": 7}
        assert shown["sha256"] == said["sha256"]


async def test_a_refused_push_names_reason_place_and_next_step(place: Place) -> None:
    async with serving(place) as api:
        status, said = await api.push(place.signer.signed(document(class_rules(spawn="yes"))))
    assert status == 422
    assert said == {
        "type": "urn:hopgate-bpf:reason:document_malformed",
        "title": "The signed document is not what its schema says.",
        "status": 422,
        "detail": "Expected `bool`, got `str`",
        "reason": "document_malformed",
        "path": "$.classes[0].spawn",
        "next_step": "Correct it at the path named; compile it again.",
    }


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "reason"),
    [
        ("GET", "/", {}, 404, "not_found"),
        ("GET", "/v1/status/", {}, 404, "not_found"),
        ("GET", "/v1/rules", {}, 405, "method_not_allowed"),
        ("POST", "/v1/rules", {}, 405, "method_not_allowed"),
        ("DELETE", "/v1/classes/a/cgroups", {}, 405, "method_not_allowed"),
        ("PUT", "/v1/rules", {"data": b"x"}, 415, "content_type"),
        ("PUT", "/v1/classes/a/cgroups", {"data": b"{}"}, 415, "content_type"),
        ("PUT", "/v1/classes/a%20b/cgroups", {"json": {}}, 404, "not_found"),
        ("PUT", "/v1/classes/a/cgroups", {"json": {}}, 422, "cgroups_malformed"),
        ("PUT", "/v1/classes/a/cgroups", {"json": {"cgroups": ["x"]}}, 422, "cgroups_malformed"),
        ("PUT", "/v1/classes/a/cgroups", {"json": {"cgroups": [], "more": 1}}, 422, "cgroups_malformed"),
        ("PUT", "/v1/classes/a/cgroups", {"json": [[[[]]]]}, 422, "cgroups_malformed"),
        ("PUT", "/v1/classes/a/cgroups", {"json": {"cgroups": ["/etc"]}}, 422, "cgroup_unknown"),
        ("PUT", "/v1/classes/a/cgroups", {"json": {"cgroups": [f"{CGROUP2}/no/such"]}}, 422, "cgroup_unknown"),
        ("PUT", "/v1/classes/a/cgroups", {"json": {"cgroups": [str(CGROUP2)]}}, 422, "cgroup_unknown"),
        ("GET", "/v1/events?after=x", {}, 400, "http_malformed"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    place: Place, method: str, path: str, more: dict[str, Any], status: int, reason: str
) -> None:
    async with serving(place) as api:
        answered, said = await api.ask(method, path, **more)
    assert (answered, said["reason"]) == (status, reason)
    assert said["next_step"]
    assert place.kernel.joined == {}


async def test_a_method_that_is_not_taken_is_told_which_are(place: Place) -> None:
    async with serving(place) as api, api.session.post("http://x/v1/rules") as response:
        assert response.headers["Allow"] == "PUT"


async def test_bodies_are_limited_in_size_and_time(place: Place) -> None:
    place.more = {"limits": {"document_bytes": 1024, "body_seconds": 0.1}}
    head = {"Content-Type": "application/jose"}

    async def slow() -> Any:
        yield b"x"
        await asyncio.sleep(20)

    async def large() -> Any:
        for _ in range(100):
            yield b"x" * 1024

    async with serving(place) as api:
        assert (await api.push(b"x" * 3000))[1]["reason"] == "body_too_large"
        assert (await api.ask("PUT", "/v1/rules", data=large(), headers=head))[1]["reason"] == "body_too_large"
        assert (await api.ask("PUT", "/v1/rules", data=slow(), headers=head))[1]["reason"] == "body_slow"
        packed = head | {"Content-Encoding": "gzip"}
        assert (await api.ask("PUT", "/v1/rules", data=b"x", headers=packed))[1]["reason"] == "content_type"


async def test_who_waits_for_a_word_before_the_body_gets_it(place: Place) -> None:
    jws = place.signer.signed(document())
    head = f"PUT /v1/rules HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose\r\nContent-Length: {len(jws)}\r\n"
    async with serving(place), asyncio.timeout(20):
        reader, writer = await asyncio.open_unix_connection(str(place.folder / "api.sock"))
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(jws)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_requests_under_way_are_limited(place: Place) -> None:
    place.more = {"limits": {"requests": 1}}
    waiting = asyncio.Event()

    async def body() -> Any:
        yield b"x"
        await waiting.wait()

    async with serving(place) as api, asyncio.TaskGroup() as group:
        held = group.create_task(api.ask("PUT", "/v1/rules", data=body(), headers={"Content-Type": "application/jose"}))
        status = 200
        while status == 200:
            status, said = await api.ask("GET", "/v1/status")
        assert (status, said["reason"]) == (429, "busy")
        waiting.set()
        assert (await held)[1]["reason"] == "signature_malformed"


@pytest.mark.parametrize(
    "raw",
    [b"\x16\x03\x01\r\n\r\n", b"GET /v1/status HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"],
)
async def test_what_is_no_http_is_answered_and_not_quoted(place: Place, raw: bytes) -> None:
    async with serving(place):
        reader, writer = await asyncio.open_unix_connection(str(place.folder / "api.sock"))
        writer.write(raw)
        answer = await reader.read()
        writer.close()
    assert b"http_malformed" in answer
    assert b"aaaa" not in answer


async def test_other_users_are_refused(place: Place) -> None:
    place.more = {"socket": {"path": str(place.folder / "api.sock"), "uids": [os.getuid() + 1]}}
    async with serving(place) as api:
        status, said = await api.ask("GET", "/v1/status")
        assert (status, said["reason"]) == (403, "caller_unknown")
        assert (await api.push(place.signer.signed(document())))[0] == 403
    assert place.kernel.images == []


async def test_a_socket_that_is_in_use_or_no_socket_is_not_taken(place: Place) -> None:
    async with serving(place):
        with pytest.raises(RefusedError, match="another hopgate-bpf listens"):
            async with serving(place):
                pass
    other = place.folder / "other.sock"
    other.write_text("")
    place.more = {"socket": {"path": str(other)}}
    with pytest.raises(RefusedError, match="no socket"):
        async with serving(place):
            pass


async def test_a_socket_that_was_left_behind_is_replaced(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place.folder / "api.sock"))
    async with serving(place) as api:
        assert (await api.ask("GET", "/v1/status"))[0] == 200


async def test_cgroups_are_of_the_class_that_they_were_given_to_last(
    place: Place, new_cgroup: Callable[[], Path]
) -> None:
    one, two = new_cgroup(), new_cgroup()
    async with serving(place) as api:
        await api.push(place.signer.signed(document()))
        status, said = await api.register("data-analyst", str(one), str(two))
        assert (status, said["has_rules"], said["cgroups"]) == (200, True, [str(one), str(two)])
        assert place.kernel.joined == {one: "data-analyst", two: "data-analyst"}
        assert (await api.register("quarantine", str(two)))[1]["has_rules"] is False
        assert place.kernel.joined == {one: "data-analyst", two: "quarantine"}
        assert "leave" not in place.kernel.calls, "a cgroup is of one class or the other at every moment"
        await api.register("data-analyst")
        assert place.kernel.joined == {two: "quarantine"}
        assert (await api.ask("GET", "/v1/status"))[1]["cgroups"] == {"quarantine": [str(two)]}


async def test_a_cgroup_is_moved_while_a_push_waits_for_names(place: Place, new_cgroup: Callable[[], Path]) -> None:
    one, waiting = new_cgroup(), asyncio.Event()

    async def lookup(host: str) -> LookupFailed:
        await waiting.wait()
        return LookupFailed("late")

    place.zone.lookup = lookup  # type: ignore[method-assign]
    rules = class_rules(network=[network("permit", "models.example")])
    async with serving(place) as api, asyncio.TaskGroup() as group:
        pushing = group.create_task(api.push(place.signer.signed(document(rules))))
        assert (await api.register("quarantine", str(one)))[0] == 200
        assert not pushing.done()
        waiting.set()
        assert (await pushing)[0] == 200


async def test_only_who_may_use_the_socket_can_connect_to_it(place: Place) -> None:
    for uids, mode in (([os.getuid()], 0o600), ([os.getuid(), 12345], 0o666)):
        place.more = {"socket": {"path": str(place.folder / "api.sock"), "uids": uids}}
        async with serving(place):
            assert stat.S_IMODE(os.stat(place.folder / "api.sock").st_mode) == mode


async def test_a_class_name_may_hold_a_slash(place: Place, new_cgroup: Callable[[], Path]) -> None:
    from yarl import URL

    one = new_cgroup()
    async with serving(place) as api:
        url = URL("http://x/v1/classes/team%2Fanalyst/cgroups", encoded=True)
        async with api.session.put(url, json={"cgroups": [str(one)]}) as response:
            assert (await response.json())["class"] == "team/analyst"
    assert place.kernel.joined == {one: "team/analyst"}


async def test_cgroups_are_joined_all_or_none(place: Place, new_cgroup: Callable[[], Path]) -> None:
    one, two, three = new_cgroup(), new_cgroup(), new_cgroup()
    async with serving(place) as api:
        await api.register("a", str(one))
        await api.register("b", str(two))
        status, said = await api.register("b", str(three), f"{CGROUP2}/no/such")
        assert (status, said["reason"]) == (422, "cgroup_unknown")
        assert (await api.register("b", str(three), str(three)))[1]["path"] == "$.cgroups"
        place.kernel.refusal, place.kernel.refuses = "the map is full", frozenset({"leave"})
        status, said = await api.register("b", str(one), str(three))
        assert (status, said["reason"]) == (502, "loader_refused")
        place.kernel.refusal = ""
        assert {path: name for path, name in place.kernel.joined.items() if path != three} == {one: "a", two: "b"}
        assert (await api.ask("GET", "/v1/status"))[1]["cgroups"] == {"a": [str(one)], "b": [str(two)]}


async def test_cgroups_are_limited_in_number_and_joined_again_after_a_restart(
    place: Place, new_cgroup: Callable[[], Path]
) -> None:
    place.more = {"limits": {"cgroups": 1}}
    one, two = new_cgroup(), new_cgroup()
    async with serving(place) as api:
        assert (await api.register("a", str(one)))[0] == 200
        assert (await api.register("b", str(two)))[1]["reason"] == "cgroups_malformed"
        assert (await api.register("a", str(two)))[0] == 200, "in place of the other"
    place.kernel.joined = {}
    async with serving(place) as api:
        assert place.kernel.joined == {two: "a"}
    two.rmdir()
    async with serving(place) as api:
        assert (await api.ask("GET", "/v1/status"))[1]["cgroups_absent"] == [str(two)]
        two.mkdir()
        await api.push(place.signer.signed(document()))
        assert (await api.ask("GET", "/v1/status"))[1]["cgroups_absent"] == []


async def lines(api: Api, query: str, count: int) -> list[dict[str, Any]]:
    async with api.session.get(f"http://x/v1/events{query}") as response:
        assert response.content_type == "application/jsonl"
        return [json.loads(await response.content.readline()) for _ in range(count)]


async def test_events_are_streamed_numbered_and_with_the_policys_id(place: Place) -> None:
    event = {"event": "denied", "class": "data-analyst", "policy": 1, "generation": 4, "path": "/etc/shadow"}
    async with serving(place) as api:
        await api.push(place.signer.signed(document(class_rules(policies=["a", "b"]), generation=4)))
        for each in (event, {"event": "lost"}, event | {"generation": 3}):
            place.kernel.said.put_nowait(json.dumps(each).encode())
        place.kernel.said.put_nowait(b"no json")
        first = await lines(api, "?after=0", 4)
        assert first[0] == {"seq": 1, "time": 1.5} | event | {"policy_id": "b"}
        assert first[1] == {"seq": 2, "time": 1.5, "event": "lost"}
        assert first[2]["policy_id"] is None
        assert first[3] == {"seq": 4, "time": 1.5, "event": "unreadable"}
        assert await lines(api, "?after=2", 2) == first[2:]


async def test_streams_see_what_comes_and_are_limited_in_number(place: Place) -> None:
    place.more = {"limits": {"event_streams": 1, "events_kept": 2}}
    async with serving(place) as api:
        async with api.session.get("http://x/v1/events") as response:
            assert (await api.ask("GET", "/v1/events"))[1]["reason"] == "busy"
            place.kernel.said.put_nowait(b'{"event":"denied"}')
            assert json.loads(await response.content.readline()) == {"seq": 1, "time": 1.5, "event": "denied"}
        for _ in range(3):
            place.kernel.said.put_nowait(b'{"event":"denied"}')
        status = 429
        while status == 429:
            async with api.session.get("http://x/v1/events?after=1") as response:
                status = response.status
                if status == 200:
                    seen = [json.loads(await response.content.readline())["seq"] for _ in range(2)]
        assert seen == [3, 4], "the oldest went first, and the numbers say so"


async def test_nothing_of_a_foreign_document_is_in_an_answer(place: Place) -> None:
    async with serving(place) as api:
        _, said = await api.push(Signer().signed(document(class_rules("secret-class"))))
    assert "secret-class" not in json.dumps(said)
