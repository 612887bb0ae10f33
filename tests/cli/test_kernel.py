"""``hopgate kernel key``: a key made once, its public half as a JWK set, and no other kind of key."""

import json
import stat
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from gateway.cli import main
from gateway.identity.kernel_signer import KernelSigner
from gateway.identity.signer import generate_key_pem
from hopgate_bpf.rules.signature import read_pinned_keys, verified_payload
from tests.company import Company


def key(company: Company) -> Any:
    return CliRunner().invoke(main, ["kernel", "key", "--config", str(company.write())])


def test_the_key_is_made_once_and_what_it_signs_is_taken_by_who_pins_it(tmp_path: Path) -> None:
    company = Company(tmp_path)
    said = key(company)
    assert said.exit_code == 0, said.output
    assert key(company).output == said.output
    file = tmp_path / "hopgate.db.kernel.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "d" not in json.loads(said.output)["keys"][0]
    jws = KernelSigner(file.read_bytes()).signed(b"document")
    assert verified_payload(jws, read_pinned_keys(said.output.encode(), "keys"), 1000) == b"document"


def test_another_kind_of_key_is_refused_without_repeating_it(tmp_path: Path) -> None:
    company = Company(tmp_path)
    (tmp_path / "kernel.pem").write_bytes(generate_key_pem("ES256"))
    company.settings["kernel"] = {"key": "file:kernel.pem"}
    said = key(company)
    assert said.exit_code == 2
    assert "hopgate kernel: kernel.key: rules for kernels are signed with Ed25519" in said.output
    assert "PRIVATE" not in said.output


def test_settings_of_loaders_are_checked(tmp_path: Path) -> None:
    company = Company(tmp_path)
    company.settings["kernel"] = {"loaders": [{"node": "a"}, {"node": "a", "socket": "x", "url": "https://h"}]}
    said = key(company).output
    for text in ("found none", "found both", "two loaders of a", "url and spiffe_id belong together"):
        assert text in said, said
