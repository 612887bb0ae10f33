"""Settings that are wrong are refused with file, line and key, and what is likely meant."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopgate_bpf.node.settings import Settings, read_settings
from hopgate_bpf.node.settings_file import read_yaml
from hopgate_bpf.rules.refusal import Reason, RefusedError

LEAST = "node: worker-1\nkeys: /etc/hopgate-bpf/gateway.jwks\n"


def read(folder: Path, text: str) -> Settings:
    (folder / "c.yaml").write_text(text)
    return read_settings(folder / "c.yaml")


def test_the_least_is_enough(tmp_path: Path) -> None:
    settings = read(tmp_path, LEAST)
    assert (settings.socket.uids, settings.tls, settings.names.times.grace) == ([0], None, 600)


def test_everything_is_read(tmp_path: Path) -> None:
    text = LEAST + (
        "state: /state\nloader: {program: /p, pins: /pins, seconds: 1.5}\nsocket:\n  path: /s\n  uids: [0, 33]\n"
        "tls:\n  port: 9443\n  certificate: /c\n  key: /k\n  trust_bundle: /t\n  gateway: spiffe://a.test/hopgate\n"
        "names: {servers: ['10.0.0.53'], grace_seconds: 60}\nlimits: {requests: 2}\n"
        "cgroups: {root: /cg, parent: /cg/agents}\nclasses:\n  data-analyst: {revalidate: true}\n"
    )
    settings = read(tmp_path, text)
    assert settings.tls is not None
    assert settings.tls.gateway == "spiffe://a.test/hopgate"
    assert settings.classes["data-analyst"].revalidate
    assert settings.limits.requests == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "c.yaml:1: this key is required and missing: `node`"),
        ("[]\n", "c.yaml:1: expected `object`, found `array`"),
        ("node: worker-1\n", "c.yaml:1: this key is required and missing: `keys`"),
        (LEAST + "nodes: x\n", "c.yaml:3: nodes: unknown key (did you mean node?)"),
        (LEAST + "zebra: x\n", "c.yaml:3: zebra: unknown key (known: node, keys, state"),
        (LEAST + "socket:\n  paht: /x\n", "c.yaml:4: socket.paht: unknown key (did you mean path?)"),
        (LEAST + "socket:\n  uids:\n    - 0\n    - root\n", "c.yaml:6: socket.uids[1]: expected `int`, found `str`"),
        (LEAST + "socket: {path: run/x}\n", "c.yaml:3: socket.path: expected `str` that is an absolute path"),
        (LEAST + "limits:\n  requests: 0\n", "c.yaml:4: limits.requests: expected `int` >= 1"),
        (LEAST + "loader: {seconds: 0}\n", "c.yaml:3: loader.seconds: expected `float` > 0"),
        (LEAST + "tls: {port: 1}\n", "c.yaml:3: tls: this key is required and missing: `certificate`"),
        (
            LEAST + "tls: {port: 1, certificate: /c, key: /k, trust_bundle: /t,\n  gateway: hopgate}\n",
            "c.yaml:4: tls.gateway: expected `str` that is spiffe://domain/path",
        ),
        (LEAST + "node: again\n", "c.yaml:3: node is already set on line 1; keep one of the two"),
        (LEAST + "state: &a /x\nsocket: {path: *a}\n", "c.yaml:3: aliases are not read"),
        (LEAST + "state: [\n", "c.yaml:4: not valid YAML"),
        (LEAST + "state: !!python/name:os.system\n", "c.yaml:3: not valid YAML"),
        (LEAST + "--- \nnode: x\n", "not valid YAML: but found another document"),
        (LEAST + "names: {ttl_floor_seconds: 9, ttl_ceiling_seconds: 8}\n", "names.ttl_ceiling_seconds: it is less"),
        (LEAST + "cgroups: {parent: /elsewhere}\n", "c.yaml:3: cgroups.parent: it is not below cgroups.root"),
        (LEAST + "cgroups: {parent: /sys/fs/cgroup/../x}\n", "c.yaml:3: cgroups.parent: it is not below"),
        (LEAST + "classes:\n  'a b': {}\n", "c.yaml:3: classes"),
        ("#" * 70_000, "larger than 65536 bytes"),
        ("[" * 500, "nested more than 8 deep"),
    ],
)
def test_mistakes_are_refused_with_their_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read(tmp_path, text)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert expected in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"none.yaml: can't be read: No such file"):
        read_settings(tmp_path / "none.yaml")
    (tmp_path / "c.yaml").write_bytes(b"node: \xff")
    with pytest.raises(RefusedError, match="it is not UTF-8"):
        read_settings(tmp_path / "c.yaml")


@given(st.text(alphabet=st.sampled_from("node: keys\n-[]{}'\"&*!|>#,1\t\0\x85/"), max_size=60))
def test_any_text_is_read_or_refused_with_its_file(text: str) -> None:
    try:
        read_yaml(text, "c.yaml")
    except RefusedError as refused:
        assert refused.detail.startswith("c.yaml:")
