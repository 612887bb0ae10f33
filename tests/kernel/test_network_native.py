"""The network half on this machine's own kernel: programs on cgroups, real sockets, no emulation."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hopgate_bpf.rules.document import ClassRules, Files, NetworkRule
from tests.kernel.host import Host, LoaderError, host
from tests.kernel.images import image, large_image, refused_images, rules
from tests.kernel.patterns import automaton

FILES = Files(automaton([]), ())


def class_of(network: tuple[NetworkRule, ...], *, audit: bool = False, name: str = "agent") -> ClassRules:
    return rules(name, audit=audit, files=FILES, network=network)


def permit(host: str | None, port: int | None, protocol: str | None = "tcp") -> NetworkRule:
    return NetworkRule("permit", host, port, protocol, 0, False)  # type: ignore[arg-type]


def forbid(host: str | None, port: int | None, protocol: str | None = None) -> NetworkRule:
    return NetworkRule("forbid", host, port, protocol, 1, False)  # type: ignore[arg-type]


@pytest.fixture
def loaded() -> Iterator[Host]:
    with host("test") as here:
        # Where this machine has BPF LSM, its hooks would come first.
        here.run("load", "--without-lsm")
        yield here


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Two ports with a TCP server on IPv4 and IPv6 each, and UDP sockets."""
    with ExitStack() as stack:
        found = []
        for _ in range(2):
            server = stack.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
            found.append(server.getsockname()[1])
        yield found[0], found[1]


def connect(family: str, host: str, port: int, kind: str = "SOCK_STREAM") -> str:
    return f"attempt(socket.socket(socket.{family}, socket.{kind}).connect, ({host!r}, {port}))"


def send(family: str, host: str, port: int) -> str:
    return f"attempt(socket.socket(socket.{family}, socket.SOCK_DGRAM).sendto, b'x', ({host!r}, {port}))"


def test_connections_are_judged_by_address_port_and_protocol(
    loaded: Host, tmp_path: Path, ports: tuple[int, int]
) -> None:
    open_, closed = ports
    network = (permit("127.0.0.0/8", open_), permit("::1", open_), forbid("127.0.0.9", None))
    loaded.apply(image(1, (class_of(network),)), tmp_path)
    cgroup = loaded.cgroup("agent")
    loaded.run("join", "agent", str(cgroup))
    attempts = {
        connect("AF_INET", "127.0.0.1", open_): 0,
        connect("AF_INET6", "::1", open_): 0,
        connect("AF_INET6", "::ffff:127.0.0.1", open_): 0,
        connect("AF_INET", "0.0.0.0", open_): 0,
        connect("AF_INET", "127.0.0.1", closed): "ECONNREFUSED",
        connect("AF_INET", "127.0.0.9", open_): "ECONNREFUSED",
        connect("AF_INET6", "::1", closed): "ECONNREFUSED",
        connect("AF_INET6", "::ffff:127.0.0.1", closed): "ECONNREFUSED",
        connect("AF_INET", "0.0.0.0", closed): "ECONNREFUSED",
        connect("AF_INET6", "::", closed): "ECONNREFUSED",
        connect("AF_INET", "127.0.0.1", open_, "SOCK_DGRAM"): "ECONNREFUSED",
        send("AF_INET", "127.0.0.1", open_): "ECONNREFUSED",
        send("AF_INET6", "::1", open_): "ECONNREFUSED",
        send("AF_INET6", "::ffff:127.0.0.1", open_): "ECONNREFUSED",
        f"attempt(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect, ('127.0.0.1', {closed}))": (
            "ECONNREFUSED"
        ),
        "attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)": "EPERM",
        "attempt(socket.socket().bind, ('127.0.0.1', 7010))": 0,
        "attempt(socket.socket().bind, ('127.0.0.1', 7011))": "EPERM",
        "attempt(socket.socket(socket.AF_INET6).bind, ('::1', 7010))": "EPERM",
    }
    assert loaded.agent(cgroup, "\n".join(attempts)) == list(attempts.values())
    denied = loaded.denied("agent")
    # A v4-mapped datagram comes to the IPv4 hook.
    assert denied == {
        "connect4": 4 + 1,
        "connect6": 3,
        "sendmsg4": 2,
        "sendmsg6": 1,
        "bind4": 1,
        "bind6": 1,
        "sock_create": 1,
    }


def test_status_says_what_is_not_enforced_and_why() -> None:
    with host("whole") as here:
        here.run("load")
        status = here.status()
    assert status["lsm"] == (not status["not_enforced"])
    assert status["lsm"] == status["hooks"]["file_open"]
    assert status["hooks"]["connect4"]


def test_status_says_what_is_not_enforced_without_lsm(loaded: Host) -> None:
    status = loaded.status()
    assert status["lsm"] is False
    assert "files" in status["not_enforced"][0]
    assert "--without-lsm" in status["not_enforced"][0]
    assert [hook for hook, attached in status["hooks"].items() if attached] == [
        "connect4",
        "connect6",
        "sendmsg4",
        "sendmsg6",
        "bind4",
        "bind6",
        "sock_create",
    ]


def test_nested_cgroups_belong_to_the_class_and_others_do_not(
    loaded: Host, tmp_path: Path, ports: tuple[int, int]
) -> None:
    loaded.apply(image(1, (class_of(()),)), tmp_path)
    cgroup = loaded.cgroup("agent")
    loaded.run("join", "agent", str(cgroup))
    attempt = connect("AF_INET", "127.0.0.1", ports[0])
    assert loaded.agent(loaded.cgroup("agent/deep/deeper"), attempt) == ["ECONNREFUSED"]
    assert loaded.agent(loaded.cgroup("bystander"), attempt) == [0]
    loaded.run("leave", str(cgroup))
    assert loaded.agent(cgroup, attempt) == [0]


def test_registered_class_without_rules_is_denied_everything(
    loaded: Host, tmp_path: Path, ports: tuple[int, int]
) -> None:
    cgroup = loaded.cgroup("agent")
    loaded.run("join", "agent", str(cgroup))
    attempt = f"attempt(socket.create_connection, ('127.0.0.1', {ports[0]}))"
    assert loaded.agent(cgroup, attempt) == ["EPERM"], "before the first generation"
    loaded.apply(image(1, (class_of((permit(None, None, None),)),)), tmp_path)
    assert loaded.agent(cgroup, attempt) == [0]
    loaded.apply(image(2, (class_of((permit(None, None, None),), name="another"),)), tmp_path)
    assert loaded.agent(cgroup, attempt) == ["EPERM"], "a generation that doesn't name it"


def test_audit_mode_permits_and_counts(loaded: Host, tmp_path: Path, ports: tuple[int, int]) -> None:
    loaded.apply(image(1, (class_of((), audit=True),)), tmp_path)
    cgroup = loaded.cgroup("agent")
    loaded.run("join", "agent", str(cgroup))
    assert loaded.agent(cgroup, connect("AF_INET", "127.0.0.1", ports[0])) == [0]
    here = loaded.status()["classes"]["agent"]
    assert (here["denied"], here["would_deny"]) == ({}, {"connect4": 1})


def test_events_tell_each_denial(loaded: Host, tmp_path: Path, ports: tuple[int, int]) -> None:
    network = (permit("127.0.0.0/8", None), forbid("127.0.0.9", None))
    loaded.apply(image(3, (class_of(network),)), tmp_path)
    cgroup = loaded.cgroup("agent")
    loaded.run("join", "agent", str(cgroup))
    loaded.agent(cgroup, connect("AF_INET", "127.0.0.9", ports[0]))
    (event,) = map(json.loads, loaded.run("--once", "events").splitlines())
    assert event["class"] == "agent"
    assert event["generation"] == 3
    assert (event["verdict"], event["hook"], event["reason"], event["policy"]) == ("denied", "connect4", "forbidden", 1)
    assert (event["address"], event["port"], event["protocol"]) == ("127.0.0.9", ports[0], "tcp")
    assert event["errno"] == 111
    assert event["cgroup"] == cgroup.stat().st_ino
    assert event["command"].startswith("python")


def test_killed_loader_leaves_the_rules_in_force(loaded: Host, tmp_path: Path, ports: tuple[int, int]) -> None:
    loaded.apply(image(1, (class_of(()),)), tmp_path)
    cgroup = loaded.cgroup("agent")
    loaded.run("join", "agent", str(cgroup))
    command = [str(loaded.loader), "--pins", str(loaded.pins), "--interval", "1", "events"]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    attempt = connect("AF_INET", "127.0.0.1", ports[0])
    assert loaded.agent(cgroup, attempt) == ["ECONNREFUSED"]
    assert reader.stdout is not None
    assert json.loads(reader.stdout.readline())["hook"] == "connect4"
    reader.send_signal(signal.SIGKILL)
    reader.wait(10)
    reader.stdout.close()
    assert loaded.agent(cgroup, attempt) == ["ECONNREFUSED"]
    assert loaded.denied("agent") == {"connect4": 2}


def test_bad_images_are_refused_and_change_nothing(loaded: Host, tmp_path: Path, ports: tuple[int, int]) -> None:
    loaded.apply(image(5, (class_of((permit("127.0.0.1", ports[0]),)),)), tmp_path)
    cgroup = loaded.cgroup("agent")
    loaded.run("join", "agent", str(cgroup))
    before = loaded.status()
    for name, (content, code) in refused_images(5).items():
        with pytest.raises(LoaderError) as refused:
            loaded.apply(content, tmp_path)
        assert (refused.value.status, refused.value.code) == (1, code), name
    assert loaded.status() == before
    assert loaded.agent(cgroup, connect("AF_INET", "127.0.0.1", ports[0])) == [0]


def test_ten_thousand_rules(loaded: Host, tmp_path: Path) -> None:
    assert loaded.apply(large_image(9), tmp_path)["generation"] == 9


def test_load_is_repeatable_and_leaves_what_is_in_force(loaded: Host, tmp_path: Path) -> None:
    loaded.apply(image(4, (class_of(()),)), tmp_path)
    loaded.run("load")
    assert loaded.status()["generation"] == 4


@pytest.mark.parametrize("command", [("join", "agent", "/"), ("apply", "/dev/null"), ("leave", "/"), ("events",)])
def test_not_loaded_is_said(command: tuple[str, ...], tmp_path: Path) -> None:
    with host("unloaded") as here:
        image_file = tmp_path / "image"
        image_file.write_bytes(image(1, (class_of(()),)))
        words = [str(image_file) if word == "/dev/null" else word for word in command]
        with pytest.raises(LoaderError) as refused:
            here.run(*words)
        assert (refused.value.status, refused.value.code) == (4, "not_loaded")
        assert json.loads(here.run("status")) == {"loaded": False, "generation": 0}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("join", "a b", "."), "class"),
        (("join", "x" * 64, "."), "class"),
        (("join", "agent", "/proc"), "cgroup"),
        (("join", "agent", "/nowhere"), "cgroup"),
        (("leave", "."), "cgroup"),
    ],
)
def test_bad_membership_is_refused(loaded: Host, words: tuple[str, ...], code: str) -> None:
    words = tuple(str(loaded.cgroup("agent")) if word == "." else word for word in words)
    with pytest.raises(LoaderError) as refused:
        loaded.run(*words)
    assert (refused.value.status, refused.value.code) == (1, code)


def test_root_cgroup_and_too_deep_ones_are_refused(loaded: Host) -> None:
    deep = loaded.cgroup("/".join(["deep"] * 17))
    for cgroup in (deep, loaded.cgroup(".").parent):
        with pytest.raises(LoaderError, match="cgroup"):
            loaded.run("join", "agent", str(cgroup))


def test_command_line_that_makes_no_sense_is_usage() -> None:
    with host("usage") as here, pytest.raises(LoaderError) as refused:
        here.run("jion", "agent", "/")
    assert refused.value.status == 2
