"""Processes in agents' cgroups that nobody registered are told once, listed, and quarantined where settings say so."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hopgate_bpf.node.kept import StateFolder
from hopgate_bpf.node.node import Node
from hopgate_bpf.node.settings import read_settings
from hopgate_bpf.rules.refusal import Reason, RefusedError
from tests.bpf.nodes import Place
from tests.bpf.serving import serving

NewCgroup = Callable[[], Path]
PYTHON = os.path.realpath(sys.executable)
WAIT = "import sys; sys.stdin.read()"


@contextmanager
def process_in(cgroup: Path) -> Iterator[int]:
    """A process in ``cgroup``."""
    with subprocess.Popen([sys.executable, "-c", WAIT], stdin=subprocess.PIPE) as process:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait()


class Told:
    """What was said of shadows."""

    def __init__(self) -> None:
        self.shadows: list[dict[str, Any]] = []

    async def __call__(self, line: bytes) -> None:
        said = json.loads(line)
        assert said["event"] == "shadow"
        self.shadows.append(said["shadow"])


@pytest.fixture
def told() -> Told:
    return Told()


async def watching(place: Place, *roots: Path, **more: Any) -> Node:
    place.more["shadow"] = {"roots": list(map(str, roots))} | more
    return await place.started()


async def test_a_process_of_no_class_is_told_once_and_listed_while_it_is_there(
    place: Place, new_cgroup: NewCgroup, told: Told
) -> None:
    cgroup = new_cgroup()
    node = await watching(place, cgroup)
    await node.shadows.look(told)
    assert not told.shadows, "an empty cgroup is none"
    with process_in(cgroup):
        for _ in range(3):
            await node.shadows.look(told)
        [shadow] = told.shadows
        assert (shadow["cgroup"], shadow["processes"], shadow["quarantined"]) == (str(cgroup), 1, False)
        assert shadow["programs"] == [PYTHON]
        status = await node.status()
        assert ([each.cgroup for each in status.shadows], status.shadows_at_large) == ([str(cgroup)], 1)
        assert not place.kernel.joined
    await node.shadows.look(told)
    assert not (await node.status()).shadows


async def test_it_is_quarantined_before_it_is_told_and_after_a_restart_it_still_is(
    place: Place, new_cgroup: NewCgroup, told: Told
) -> None:
    cgroup, other = new_cgroup(), new_cgroup()
    node = await watching(place, cgroup, quarantine=True)
    await node.register("quarantine", [str(other)])
    with process_in(cgroup):
        await node.shadows.look(told)
        assert place.kernel.joined == {other: "quarantine", cgroup: "quarantine"}
        assert [(each["quarantined"], each["detail"]) for each in told.shadows] == [(True, "")]
        again = await place.started()
        await again.shadows.look(told)
        status = await again.status()
        assert (status.shadows_quarantined, status.shadows_at_large, len(told.shadows)) == (1, 0, 1)
        assert status.cgroups["quarantine"] == (str(other), str(cgroup))
        await again.register("data-analyst", [str(cgroup)])
        await again.shadows.look(told)
        assert not (await again.status()).shadows, "who was given a class is no shadow any more"
        assert place.kernel.joined[cgroup] == "data-analyst"


async def test_those_of_a_class_are_none_wherever_it_comes_from(
    place: Place, new_cgroup: NewCgroup, told: Told
) -> None:
    registered, above = new_cgroup(), new_cgroup()
    below = above / "pod"
    below.mkdir()
    try:
        node = await watching(place, registered, below, quarantine=True)
        await node.register("data-analyst", [str(registered), str(above)])
        with process_in(registered), process_in(below):
            await node.shadows.look(told)
        assert not told.shadows
    finally:
        below.rmdir()


async def test_below_an_agents_cgroup_too_and_beside_one_that_is_registered(
    place: Place, new_cgroup: NewCgroup, told: Told
) -> None:
    top = new_cgroup()
    registered, loose = top / "registered", top / "loose"
    registered.mkdir()
    loose.mkdir()
    try:
        node = await watching(place, top, quarantine=True)
        await node.register("data-analyst", [str(registered)])
        with process_in(registered):
            await node.shadows.look(told)
            assert not told.shadows
            with process_in(loose):
                await node.shadows.look(told)
        assert [(each["cgroup"], each["processes"]) for each in told.shadows] == [(str(top), 1)]
        assert place.kernel.joined == {registered: "data-analyst", top: "quarantine"}
    finally:
        registered.rmdir()
        loose.rmdir()


async def test_a_registered_cgroup_that_was_made_anew_is_of_its_class_again(
    place: Place, new_cgroup: NewCgroup, told: Told
) -> None:
    cgroup = new_cgroup()
    node = await watching(place, cgroup, quarantine=True)
    await node.register("data-analyst", [str(cgroup)])
    cgroup.rmdir()
    cgroup.mkdir()
    with process_in(cgroup):
        await node.shadows.look(told)
    assert not told.shadows
    assert place.kernel.inodes[cgroup.stat().st_ino] == "data-analyst"


async def test_what_fails_is_told_and_tried_again(place: Place, new_cgroup: NewCgroup, told: Told) -> None:
    cgroup = new_cgroup()
    node = await watching(place, cgroup, quarantine=True)
    place.kernel.refusal, place.kernel.refuses = "no room", frozenset({"join"})
    with process_in(cgroup):
        await node.shadows.look(told)
        await node.shadows.look(told)
        [failed] = told.shadows
        assert (failed["quarantined"], failed["detail"]) == (False, "join: no room")
        assert not StateFolder(Path(place.settings.state)).registered().classes
        place.kernel.refusal = ""
        await node.shadows.look(told)
        assert [each["quarantined"] for each in told.shadows] == [False, True]
        place.kernel.refusal, place.kernel.refuses = "gone", frozenset({"status"})
        place.more["shadow"]["roots"].append(str(cgroup))
        node = await Place.started(place)
        await node.shadows.look(told)
        place.kernel.refusal = ""
        assert (await node.status()).problem == "shadow agents can't be looked for: status: gone"
        await node.shadows.look(told)
        assert (await node.status()).problem == ""


async def test_cgroups_that_are_gone_make_room_for_new_shadows(place: Place, new_cgroup: NewCgroup, told: Told) -> None:
    first, second = new_cgroup(), new_cgroup()
    place.more["limits"] = {"cgroups": 1}
    node = await watching(place, first, second, quarantine=True)
    with process_in(first):
        await node.shadows.look(told)
        with process_in(second):
            await node.shadows.look(told)
            assert "more than 1 cgroups" in told.shadows[-1]["detail"]
    first.rmdir()
    with process_in(second):
        await node.shadows.look(told)
    assert (await node.status()).cgroups == {"quarantine": (str(second),)}


async def test_more_cgroups_than_it_may_look_at_is_a_problem(place: Place, new_cgroup: NewCgroup, told: Told) -> None:
    cgroups = [new_cgroup(), new_cgroup()]
    node = await watching(place, *cgroups, cgroups=1)
    with process_in(cgroups[0]):
        await node.shadows.look(told)
    assert len(told.shadows) == 1
    assert (await node.status()).problem == "more than 1 cgroups below shadow.roots; not all are looked at"


async def test_within_the_api_it_is_an_event_and_in_the_status(place: Place, new_cgroup: NewCgroup) -> None:
    cgroup = new_cgroup()
    place.more["shadow"] = {"roots": [f"{cgroup.parent}/{cgroup.name[:-1]}*"], "quarantine": True}
    async with serving(place) as api, asyncio.timeout(20):
        with process_in(cgroup):
            async with api.session.get("http://x/v1/events?after=0") as stream:
                event = json.loads(await stream.content.readline())
            assert (event["seq"], event["event"], event["shadow"]["quarantined"]) == (1, "shadow", True)
            status: dict[str, Any] = {"shadows": []}
            while not status["shadows"]:
                _, status = await api.ask("GET", "/v1/status")
            assert status["shadows"][0]["cgroup"] == str(cgroup)
            assert status["cgroups"] == {"quarantine": [str(cgroup)]}


@pytest.mark.parametrize("root", ["/etc/*", "/sys/fs/cgroup/../../*"])
def test_roots_outside_of_the_cgroups_are_refused(tmp_path: Path, root: str) -> None:
    (tmp_path / "c.yaml").write_text(f"node: a\nkeys: /k\nshadow:\n  roots:\n    - {root}\n")
    with pytest.raises(RefusedError, match=r"c.yaml:5: shadow.roots\[0\]: it is not below") as caught:
        read_settings(tmp_path / "c.yaml")
    assert caught.value.reason is Reason.CONFIG_INVALID
