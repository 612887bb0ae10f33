import shutil
from collections import defaultdict
from pathlib import Path
from string import Template

import pytest

from gateway.config.load import load
from gateway.config.problems import Problems
from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.core.policy.source import PolicySource


def test_a_whole_configuration_loads_without_warnings(folder):
    loaded = folder.loaded()
    assert loaded.warnings == ()
    assert loaded.settings.public_url == "https://gateway.test:8443"
    assert loaded.policies == (PolicySource("platform/all.cedar", "permit (principal, action, resource);"),)
    assert loaded.limits == loaded.settings.limits
    assert isinstance(loaded.limits, Limits)


def test_routes_are_made_for_servers_and_for_agents_that_have_an_upstream(folder):
    routes = folder.loaded().routes
    assert set(routes) == {"/mcp/ledger", "/a2a/analyst"}
    assert routes["/mcp/ledger"] == Route(
        protocol="mcp",
        name="ledger",
        path="/mcp/ledger",
        resource="https://gateway.test:8443/mcp/ledger",
        audience="https://gateway.test:8443/mcp/ledger",
    )


def test_route_overrides_and_the_upstreams_own_audience(folder):
    folder.settings(
        "policies: policies", "policies: policies\nroutes: {a2a: {analyst: {clients: user-only, user: optional}}}"
    )
    folder.registry(
        '{url: "https://127.0.0.1:9001/"}', '{url: "https://127.0.0.1:9001/", audience: "https://analyst.test"}'
    )
    loaded = folder.loaded()
    route = loaded.routes["/a2a/analyst"]
    assert (route.clients, route.user, route.audience) == ("user-only", "optional", "https://analyst.test")
    assert route.resource == "https://gateway.test:8443/a2a/analyst"
    assert loaded.registry.by_audience == {"https://analyst.test": "analyst"}


def test_paths_are_relative_to_the_file_that_names_them(folder, monkeypatch):
    monkeypatch.chdir("/")
    settings = folder.loaded().settings
    assert settings.keys.signing.file == str(folder.root / "keys/signing.pem")
    assert settings.registry == (str(folder.root / "registry.yaml"),)
    assert settings.store.path == folder.root / "hopgate.db"
    assert settings.sealing_file == folder.root / "hopgate.db.sealing"
    assert settings.identity.development.directory == str(folder.root / "dev")


def test_an_absolute_store_path_stays(folder, tmp_path):
    folder.settings("policies: policies", f"policies: policies\nstore: {{url: 'sqlite:///{tmp_path}/x/y.db'}}")
    assert folder.loaded().settings.store.path == tmp_path / "x/y.db"


def test_problems_of_every_file_come_together_in_the_order_of_their_lines(folder):
    folder.settings("version: 1", "version: 2")
    folder.settings("jwks_uri: https://login.test/jwks", "jwks_url: https://login.test/jwks")
    folder.registry("team: finance\n    purpose", "team: finanze\n    purpose")
    folder.registry("risk_level: high", "risk_level: hihg")
    folder.environ["HOPGATE__LISTEN__DATA__PROT"] = "1"
    errors = folder.errors()
    assert [error.split(": ")[:2] for error in errors] == [
        ["environment", "HOPGATE__LISTEN__DATA__PROT"],
        ["gateway.yaml:1", "version"],
        ["gateway.yaml:10", "issuers[0]"],
        ["gateway.yaml:12", "issuers[0].jwks_url"],
        ["registry.yaml:18", "agents.analyst.team"],
        ["registry.yaml:38", "servers.ledger.tools.pay.risk_level"],
    ]
    assert 'did you mean "jwks_uri"?' in errors[3]
    assert 'did you mean "finance"?' in errors[4]
    assert 'did you mean "high"?' in errors[5]


def test_a_missing_settings_file_is_one_problem(tmp_path):
    (tmp_path / "gatway.yaml").write_text("")
    result = load(tmp_path / "gateway.yaml", {})
    assert isinstance(result, Problems)
    (problem,) = result.items
    assert "there is no file" in problem.message
    assert problem.hint == 'did you mean "gatway.yaml"?'


@pytest.mark.parametrize("text", ["", "# nothing\n", "just text", "[1, 2]", "a: [", "\x00", "version: 1\nversion: 1\n"])
def test_what_is_no_settings_file_is_refused(folder, text):
    folder.write("gateway.yaml", text)
    assert folder.errors()


def test_a_file_that_is_not_utf8_is_refused(folder):
    (folder.root / "registry.yaml").write_bytes(b"teams: [\xff]")
    (error,) = folder.errors()
    assert error.endswith("registry.yaml is not UTF-8 at byte 8 (save it as UTF-8)")


def test_routes_for_nothing_registered_are_refused(folder):
    folder.settings("policies: policies", "policies: policies\nroutes: {mcp: {ledgr: {}}, a2a: {planner: {}}}")
    errors = folder.errors()
    assert errors == [
        'gateway.yaml:18: routes.mcp.ledgr: no server is registered by this name (did you mean "ledger"?)',
        "gateway.yaml:18: routes.a2a.planner: the agent has no upstream in the registry, so there is no such route "
        "(add its upstream, or remove the route)",
    ]


def test_a_route_of_an_unreadable_server_is_not_reported_twice(folder):
    folder.settings("policies: policies", "policies: policies\nroutes: {mcp: {ledger: {}}}")
    folder.registry(
        '    environment: production\n    upstream: {url: "https://127.0.0.1:9002',
        '    upstream: {url: "https://127.0.0.1:9002',
    )
    (error,) = folder.errors()
    assert "servers.ledger.environment: this key is required and missing" in error


def test_scopes_of_issuers_that_nothing_needs_are_warned_about(folder):
    folder.settings("[ledger/read_balance]", "[ledger/read_balanse]")
    (warning,) = folder.warnings()
    assert 'warning: nothing needs the scope "ledger/read_balanse" (did you mean "ledger/read_balance"?)' in warning


def test_an_empty_policies_folder_is_a_warning(folder):
    (folder.root / "policies/platform/all.cedar").unlink()
    (warning,) = folder.warnings()
    assert "every call will be denied" in warning


def test_a_configuration_with_errors_gives_no_values(folder):
    folder.settings("environment: development", "environment: test")
    assert isinstance(folder.load(), Problems)


def test_problems_name_files_below_the_working_directory_relatively(folder, monkeypatch):
    folder.registry("teams: [finance, platform]", "teams: [finance]")
    monkeypatch.chdir(folder.root)
    result = load(Path("gateway.yaml"), {})
    assert isinstance(result, Problems)
    assert str(result.items[0]).startswith("registry.yaml:8: agents.planner.team: ")


def test_the_configuration_of_the_demo_loads(tmp_path):
    demo = Path(__file__).parents[2] / "demo"
    ports = defaultdict(lambda: next(count), {})
    count = iter(range(20000, 20100))
    for name in ("gateway.yaml", "registry.yaml"):
        (tmp_path / name).write_text(Template((demo / "config" / name).read_text()).substitute(ports))
    shutil.copytree(demo / "policies", tmp_path / "policies")
    loaded = load(tmp_path / "gateway.yaml", {})
    assert not isinstance(loaded, Problems), str(loaded)
    assert loaded.warnings == ()
    assert loaded.routes["/a2a/planner"].clients == "user-only"
