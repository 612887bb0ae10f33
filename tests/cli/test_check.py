"""``hopgate check`` says everything that is wrong, with file and line, to people and to scripts; it makes nothing."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.company import Company
from tests.gateways import HOPGATE

YAML = """\
version: 1
environment: development
public_url: https://127.0.0.1:8443
issuer: https://127.0.0.1:8444
listen:
  data: {prot: 8443}
identity: {trust_domain: demo.test, source: development, development: {directory: ca}}
issuers:
  - name: corp
    issuer: https://login.demo.test
    scope_map: {all: [ledger/pay]}
keys: {signing: {file: signing.pem}}
registry: [registry.yaml]
policies: policies
"""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def check(config: Path, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOPGATE, "check", "--config", str(config), *options],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=30,
        check=False,
    )


def problems(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_good_configuration_is_passed_in_silence_and_nothing_is_made(company: Company) -> None:
    config = company.write()
    before = sorted(path.name for path in company.directory.iterdir())
    done = check(config)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in company.directory.iterdir()) == before


def test_every_problem_of_every_file_is_told_with_its_line(company: Company) -> None:
    company.policies["teams/finance/read.cedar"] = 'permit (principal, action, resource) when { context.depht > "1" };'
    config = company.write()
    config.write_text(YAML)
    done = check(config)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert done.stdout == ""
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{config}:6", "listen.data.prot"],
        [f"{config}:9", "issuers[0]"],
        [f"{config}:12", "keys.signing.file"],
    ]
    assert 'did you mean "port"?' in lines[0]
    assert "exactly one source of keys" in lines[1]


def test_a_policy_that_does_not_fit_the_schema_is_told_with_its_file_and_line(company: Company) -> None:
    company.policies["platform/typo.cedar"] = (
        '@id("typo")\npermit (principal, action == Action::"invokeTool", resource)\nwhen { context.depht > 1 };\n'
    )
    done = check(company.write(), "--format", "json")
    errors = [problem for problem in problems(done) if problem["severity"] == "error"]
    assert done.returncode == 1
    assert [(Path(error["file"]).name, error["key"]) for error in errors] == [("typo.cedar", "typo")]
    assert 1 <= errors[0]["line"] <= 3
    assert "depht" in errors[0]["message"]


def test_json_holds_what_the_text_says(company: Company) -> None:
    company.settings["enviroment"] = "production"
    config = company.write()
    told, listed = check(config), check(config, "--format", "json")
    assert (told.returncode, listed.returncode, listed.stderr) == (1, 1, "")
    (found,) = problems(listed)
    assert found.keys() == {"file", "line", "key", "message", "hint", "severity"}
    assert f"{found['file']}:{found['line']}: {found['key']}: {found['message']} ({found['hint']})\n" == told.stderr
    assert json.loads(check_good(company).stdout) == []


def check_good(company: Company) -> subprocess.CompletedProcess[str]:
    del company.settings["enviroment"]
    return check(company.write(), "--format", "json")


def test_production_refuses_what_is_only_for_trying(company: Company) -> None:
    company.settings["environment"] = "production"
    done = check(company.write())
    assert done.returncode == 1
    assert "identity.source" in done.stderr
    assert "development" in done.stderr
    assert "keys.sealing" in done.stderr


def test_keys_and_certificates_are_looked_at_too(company: Company) -> None:
    files = company.svid("hopgate")
    company.settings["identity"] = {
        "trust_domain": "demo.test",
        "source": "pem",
        "pem": {
            "certificate": str(files.certificate),
            "key": str(company.svid("agent/planner").key),
            "trust_bundles": {"demo.test": str(files.bundle)},
        },
    }
    config = company.write()
    (line,) = check(config).stderr.splitlines()
    assert line.startswith(f"{config}: identity.pem: ")
    assert "key" in line


def test_a_missing_agent_is_a_warning_and_its_trust_domains_are_not_guessed(company: Company) -> None:
    company.settings["identity"] = {
        "trust_domain": "demo.test",
        "source": "workload_api",
        "workload_api": {"socket": "agent.sock"},
    }
    company.registry["agents"]["cron"]["spiffe_id"] = "spiffe://partner.test/cron"
    config = company.write()
    done = check(config)
    (line,) = done.stderr.splitlines()
    socket = company.directory / "agent.sock"
    assert line.startswith(f"{config}: identity.workload_api.socket: warning: there is no socket {socket} (")
    assert done.returncode == 0


def test_an_svid_of_another_trust_domain_is_told(company: Company) -> None:
    files = company.svid("hopgate")
    company.settings["identity"] = {
        "trust_domain": "other.test",
        "source": "pem",
        "pem": {
            "certificate": str(files.certificate),
            "key": str(files.key),
            "trust_bundles": {"demo.test": str(files.bundle), "other.test": str(files.bundle)},
        },
    }
    done = check(company.write())
    assert (
        "identity.pem: the SVID is spiffe://demo.test/hopgate, not of identity.trust_domain other.test" in done.stderr
    )
    assert done.returncode == 1


def test_a_secret_that_is_too_short_is_told_by_its_reference_alone(company: Company) -> None:
    company.settings["keys"]["sealing"] = "env:SEAL"
    config = company.write()
    (line,) = check(config, SEAL="too-short-to-seal").stderr.splitlines()
    assert line.startswith(f"{config}:")
    assert "keys.sealing: " in line
    assert "env:SEAL" in line
    assert "too-short-to-seal" not in line


def test_a_missing_file_is_a_problem_and_a_missing_option_is_usage(tmp_path: Path) -> None:
    absent = check(tmp_path / "nowhere.yaml")
    unused = subprocess.run([HOPGATE, "check"], capture_output=True, text=True, timeout=30, check=False)
    assert absent.returncode == 1
    assert str(tmp_path / "nowhere.yaml") in absent.stderr
    assert (unused.returncode, "--config" in unused.stderr) == (2, True)


def test_certificates_of_a_third_party_that_are_none_are_told(company: Company) -> None:
    upstream = {"url": "https://mcp.tracker.test/mcp", "tls": "web", "ca_file": "third-party.pem"}
    company.registry["servers"]["tracker"] = {"team": "finance", "environment": "production", "upstream": upstream}
    (company.directory / "third-party.pem").write_text("no certificate")
    done = check(company.write())
    assert done.returncode == 1
    assert "registry: servers.tracker.upstream.ca_file: no PEM certificates in" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        ("[]", "not a JSON object"),
        ("{}", "no list"),
        ('{"keys": [{"use": "x509-svid", "kty": "EC"}]}', "no key that signs JWT-SVIDs"),
    ],
)
def test_a_bundle_that_verifies_no_jwt_svid(company: Company, bundle: str, said: str) -> None:
    company.settings["identity"]["jwt_svid"] = {"bundles": {"demo.test": "bundle.json"}}
    config = company.write()
    (company.directory / "bundle.json").write_text(bundle)
    [problem] = problems(check(config, "--format", "json"))
    assert problem["key"] == "identity.jwt_svid"
    assert said in problem["message"]


def test_a_route_that_takes_jwt_svids_which_nothing_verifies(company: Company) -> None:
    company.settings["routes"]["mcp"]["ledger"]["jwt_svid"] = True
    done = check(company.write())
    assert done.returncode == 1
    assert "set identity.jwt_svid" in done.stderr
