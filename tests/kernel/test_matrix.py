"""The acceptance matrix on Debian's kernels 6.1 and 6.12: every case as root, errno and deny counter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.guest_run import GuestRun, run_guest
from tests.kernel.images import refused_images
from tests.kernel.machine import KERNELS
from tests.kernel.matrix import CASES


@pytest.fixture(scope="module", params=list(KERNELS))
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GuestRun:
    return run_guest(request.param, Path(tmp_path_factory.mktemp(request.param)))


def counted(hooks: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted(hook for hook, more in hooks.items() if more))


def test_guest_runs_exactly_the_table(guest: GuestRun) -> None:
    assert set(guest.cases) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_case(guest: GuestRun, name: str) -> None:
    expected, seen = CASES[name], guest.cases[name]
    assert seen["control"] == expected.control
    assert seen["errno"] == expected.errno
    assert counted(seen["denied"]) == expected.hooks
    assert counted(seen["would_deny"]) == expected.would_deny


def only(guest: GuestRun, name: str) -> Mapping[str, Any]:
    (line,) = guest.scenarios[name]
    return line


def still_enforced(line: Mapping[str, Any]) -> bool:
    return line["denied"] == 1 and line["permitted"] == 0


def test_killed_loader_leaves_the_rules_in_force(guest: GuestRun) -> None:
    assert still_enforced(only(guest, "loader-killed"))


def test_bad_images_are_refused_whole(guest: GuestRun) -> None:
    expected = {name: code for name, (_, code) in refused_images(2).items()}
    seen = guest.scenarios["refused"]
    assert {line["image"]: line["errors"][-1]["code"] for line in seen} == expected
    assert all(line["status"] == 1 and still_enforced(line) for line in seen)


def test_no_verdict_is_torn_between_two_generations(guest: GuestRun) -> None:
    line = only(guest, "swap")
    assert line["rounds"] > 100
    assert (line["both"], line["neither"]) == (0, 0)


def test_apply_killed_in_the_middle_leaves_the_rules_in_force(guest: GuestRun) -> None:
    line = only(guest, "apply-killed")
    assert line["killed"] > 0
    assert line["wrong"] == 0


def test_ten_thousand_rules_are_taken(guest: GuestRun) -> None:
    line = only(guest, "large")
    assert line["status"] == 0
    assert still_enforced(line)


def test_full_maps_are_refused_and_change_nothing(guest: GuestRun) -> None:
    line = only(guest, "names-full")
    assert line["status"] == 1
    assert line["errors"][-1]["code"] == "classes_full"
    assert still_enforced(line)


def test_status_says_what_is_attached(guest: GuestRun) -> None:
    first, last = guest.statuses
    assert first["lsm"] is True
    assert first["not_enforced"] == []
    assert first["generation"] == 2
    assert [hook for hook, attached in first["hooks"].items() if not attached] == []
    assert last["generation"] == 1000
    assert last["skipped"] == 0
    assert last["anchors_untracked"] == last["anchors_unwalked"] == 0
    assert last["anchors_missing"] > 0
    assert set(last["classes"]["plain"]["denied"]) >= {"file_open", "socket_connect", "path_rename"}


def test_events_name_path_address_and_policy(guest: GuestRun) -> None:
    assert all(event["class"] and event["process"] > 1 for event in guest.events)
    files = [event for event in guest.events if event.get("path") == "/work/private/x"]
    assert any(event["errno"] == 1 and event["policy"] == 1 and "readFile" in event["actions"] for event in files)
    assert any(event["verdict"] == "would_deny" and event["errno"] == 0 for event in files)
    assert any(event.get("address") == "127.0.0.9" and event["reason"] == "forbidden" for event in guest.events)


def test_kernel_had_no_fault(guest: GuestRun) -> None:
    assert not [line for line in guest.said.splitlines() if "BUG:" in line or "#PF:" in line or "WARNING:" in line]
