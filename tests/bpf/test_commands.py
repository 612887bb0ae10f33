"""``hopgate-bpf run``, ``status`` and ``check`` as somebody types them."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hopgate_bpf.rules.refusal import MEANINGS, Reason
from tests.bpf.documents import NODE, Signer, class_rules, document, example, network
from tests.bpf.nodes import Place
from tests.bpf.programs import ENVIRONMENT, ROOT, command, hopgate_bpf, stand_in


@pytest.fixture
def config(place: Place) -> Path:
    program = str(stand_in(place.folder))
    place.more = {
        "loader": {"program": program, "pins": str(place.folder / "pins"), "seconds": 20},
        "names": {"servers": ["127.0.0.1:9"], "lookup_seconds": 0.5},
    }
    (place.folder / "config.yaml").write_text(json.dumps(place.plain))
    return place.folder / "config.yaml"


@contextmanager
def running(config: Path, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """``run`` until it said to systemd that it is ready; stopped at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.settimeout(30)
        told.bind(str(folder / "notify"))
        process = subprocess.Popen(
            command("run", "--config", config),
            env=ENVIRONMENT | {"NOTIFY_SOCKET": str(folder / "notify")},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert told.recv(100) == b"READY=1"
        yield process
        process.terminate()
        assert process.wait(20) == 0
        (folder / "notify").unlink()


async def push(place: Place, rules: dict[str, Any]) -> int:
    connector = aiohttp.UnixConnector(str(place.folder / "api.sock"))
    head = {"Content-Type": "application/jose"}
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.put("http://x/v1/rules", data=place.signer.signed(rules), headers=head) as response,
    ):
        return response.status


async def test_a_loader_runs_takes_rules_is_stopped_and_begins_where_it_was(place: Place, config: Path) -> None:
    rules = document(class_rules(network=[network("permit", "models.example")]), generation=4)
    with running(config, place.folder) as process:
        assert hopgate_bpf("status", "--config", config).stdout.startswith(f"node {NODE}: no rules yet")
        other = hopgate_bpf("run", "--config", config)
        assert (other.returncode, "another hopgate-bpf runs" in other.stderr) == (1, True)
        assert await push(place, rules) == 200
        shown = hopgate_bpf("status", "--config", config)
        assert shown.returncode == 0
        assert shown.stdout.startswith(f"node {NODE}: generation 4, policies sha256:abab")
        assert "less than permitted: data-analyst: models.example is unknown" in shown.stdout
        assert re.search(r"models.example: unknown: - \(next lookup in \d+ s", shown.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        assert process.stderr.read() == f"node {NODE}: no rules yet\n"
    with running(config, place.folder) as process:
        said = json.loads(hopgate_bpf("status", "--config", config, "--format", "json").stdout)
        assert (said["generation"], said["agrees"]) == (4, True)
    calls = json.loads((place.folder / "pins").read_text())["calls"]
    assert [each[0] for each in calls if each[0] in {"load", "apply"}] == ["load", "apply", "load", "apply"]


def test_a_loader_that_dies_leaves_the_kernel_as_it_is_and_its_socket_is_taken_over(place: Place, config: Path) -> None:
    with running(config, place.folder) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.terminate = lambda: None  # type: ignore[method-assign]
        process.wait = lambda timeout=None: 0  # type: ignore[method-assign]
    with running(config, place.folder):
        assert hopgate_bpf("status", "--config", config).returncode == 1, "no rules yet"


def test_status_says_where_nobody_answers(place: Place, config: Path) -> None:
    done = hopgate_bpf("status", "--config", config)
    assert done.returncode == 2
    assert f"no loader answers at {place.folder}/api.sock" in done.stderr


@pytest.mark.parametrize("words", [("run",), ("status",), ("check", "x"), ("exec", "--class", "a", "true")])
def test_wrong_settings_are_told_with_their_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "c.yaml").write_text("node: a\nkeyz: /x\n")
    done = hopgate_bpf(words[0], "--config", tmp_path / "c.yaml", *words[1:])
    assert done.returncode == (125 if words[0] == "exec" else 2)
    assert done.stderr == f"hopgate-bpf {words[0]}: {tmp_path}/c.yaml:2: keyz: unknown key (did you mean keys?)\n"


def test_check_tells_what_a_document_holds(place: Place, config: Path) -> None:
    rules = example() | {"node": NODE}
    (place.folder / "rules.jws").write_bytes(place.signer.signed(rules) + b"\n")
    done = hopgate_bpf("check", place.folder / "rules.jws", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    first, *classes = done.stdout.splitlines()
    assert first == f"node {NODE}, generation {rules['generation']}, policies {rules['digest']}"
    assert classes[0].startswith("data-analyst: 65 states, 1 anchors, 2 network rules,")
    assert classes[-1] == "to look up: llm.example"
    told = json.loads(hopgate_bpf("check", place.folder / "rules.jws", "--config", config, "--format", "json").stdout)
    assert told["classes"][0]["states"] == 65


def test_check_refuses_as_a_loader_would_and_says_the_next_step(place: Place, config: Path) -> None:
    document_file = place.folder / "rules.jws"
    document_file.write_bytes(place.signer.signed(document(node="worker-2")))
    done = hopgate_bpf("check", document_file, "--config", config)
    assert done.returncode == 1
    assert done.stderr == (
        "hopgate-bpf check: $.node: it is for 'worker-2', this node is 'worker-1'\n"
        "hopgate-bpf check: node_other: the document is for another node. Push each node its own document.\n"
    )
    keys = place.folder / "gateway.jwks"
    assert hopgate_bpf("check", document_file, "--keys", keys).returncode == 0
    assert "worker-3" in hopgate_bpf("check", document_file, "--keys", keys, "--node", "worker-3").stderr
    document_file.write_bytes(Signer().signed(document()))
    assert "signature_invalid" in hopgate_bpf("check", document_file, "--config", config).stderr
    assert "No such file" in hopgate_bpf("check", place.folder / "none.jws", "--config", config).stderr


def test_every_reason_has_a_meaning_and_is_given_somewhere() -> None:
    assert set(MEANINGS) == set(Reason)
    sources = "".join(file.read_text() for file in (ROOT / "bpf" / "hopgate_bpf").rglob("*.py"))
    uses = {reason: len(re.findall(rf"Reason\.{reason.name}\b", sources)) for reason in Reason}
    assert [reason for reason, count in uses.items() if count < 2] == []
