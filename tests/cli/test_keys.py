"""``hopgate keys``: what an operator sees of the signing keys, and how they are replaced out of turn."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.identity.signer import generate_key_pem, load_signer
from tests.company import Company
from tests.gateways import HOPGATE, running


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def run(company: Company, *words: str, status: int = 0) -> str:
    """What the command printed, on standard error where it failed."""
    command = [HOPGATE, "keys", *words, "--config", company.config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr if status else done.stdout


def listed(company: Company) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(company, "list", "--format", "json"))
    return found


async def test_keys_of_the_store(company: Company) -> None:
    company.settings["keys"] = {"signing": {"source": "store"}}
    async with running(company):
        pass
    [first] = listed(company)
    assert (first["algorithm"], first["state"]) == ("ES256", "signs")
    made = run(company, "rotate").split()[0]
    assert [key["state"] for key in listed(company)] == ["signs", "waits"]
    assert "waits for its time already" in run(company, "rotate", status=1)
    anew = run(company, "rotate", "--now").split()[0]
    states = {key["kid"]: key["state"] for key in listed(company)}
    assert states == {first["kid"]: "distrusted", made: "distrusted", anew: "signs"}
    assert f"{anew}  ES256   signs " in run(company, "list")


async def test_nothing_of_a_key_is_in_the_store_in_the_clear(company: Company) -> None:
    company.settings["keys"] = {"signing": {"source": "store"}}
    async with running(company):
        run(company, "rotate")
        content = b"".join(company.directory.joinpath(f"hopgate.db{end}").read_bytes() for end in ("", "-wal"))
    assert listed(company)[0]["kid"].encode() in content
    assert b"PRIVATE KEY" not in content
    assert (company.directory / "hopgate.db.sealing").read_bytes() not in content


def test_a_key_file_is_shown_and_replaced_as_a_file(company: Company) -> None:
    company.write()
    assert "no file" in run(company, "list", status=2)
    pem = generate_key_pem()
    (company.directory / "signing.pem").write_bytes(pem)
    assert listed(company) == [
        {"kid": load_signer(pem).kid, "algorithm": "ES256", "state": "signs", "signs_from": None}
    ]
    assert "replace it" in run(company, "rotate", status=2)


def test_an_encrypted_file_with_its_passphrase_by_reference(company: Company) -> None:
    pem = generate_key_pem("EdDSA", b"open sesame")
    company.settings["keys"]["signing"] = {"file": "k.pem", "algorithm": "EdDSA", "passphrase": "file:phrase"}
    company.directory.joinpath("k.pem").write_bytes(pem)
    company.directory.joinpath("phrase").write_text("open sesame\n")
    company.write()
    assert listed(company)[0]["algorithm"] == "EdDSA"
    company.directory.joinpath("phrase").write_text("sesame")
    said = run(company, "list", status=2)
    assert "this passphrase" in said
    assert "sesame" not in said


@pytest.mark.parametrize(
    ("signing", "said"),
    [
        ({"source": "store", "file": "k.pem"}, "source: store has no file"),
        ({"source": "store", "generate": True}, "source: store has no generate"),
        ({"source": "store", "rotate_hours": 1, "lead_minutes": 60}, "published for longer than it signs"),
        ({"source": "file"}, "source: file needs a file"),
        ({"file": "signing.pem", "generate": True, "passphrase": "sesame"}, "file:PATH or env:NAME"),
    ],
)
def test_settings_that_can_not_be_meant(company: Company, signing: dict[str, Any], said: str) -> None:
    company.settings["keys"]["signing"] = signing
    company.write()
    assert said in run(company, "list", status=2)
