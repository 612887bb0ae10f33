# ruff: noqa: E501 - tables of cases are read line by line
import msgspec
import pytest

from gateway.config.limit_settings import LimitSettings
from gateway.core.limits import Limits

PRODUCTION = """\
version: 1
environment: production
public_url: https://gateway.test:8443
issuer: https://gateway.test:8444
identity:
  trust_domain: demo.test
  source: pem
  pem: {certificate: svid.pem, key: svid.key, trust_bundles: {demo.test: roots.pem}}
issuers:
  - {name: corp, issuer: "https://login.test", discovery: true, scope_map: {read: [ledger/read_balance]}}
keys:
  signing: {file: signing.pem}
  sealing: file:sealing
registry: [registry.yaml]
policies: policies
"""


@pytest.fixture
def production(folder):
    folder.write("gateway.yaml", PRODUCTION)
    for name in ("svid.pem", "svid.key", "roots.pem", "signing.pem", "sealing"):
        folder.write(name, "x" * 40)
    return folder


def test_defaults_are_explicit(folder):
    settings = folder.loaded().settings
    assert (settings.listen.data.host, settings.listen.data.port) == ("127.0.0.1", 8443)
    assert settings.listen.public.port == 8444
    assert settings.listen.health.port == 9464
    issuer = settings.issuers[0]
    assert issuer.algorithms == ("RS256",)
    assert issuer.types == ("at+jwt", "application/at+jwt")
    assert settings.telemetry.otlp is None
    assert settings.limits == LimitSettings()


def test_limits_are_all_documented_with_the_safe_defaults_of_core():
    ours = {field.name: field.default for field in msgspec.structs.fields(LimitSettings)}
    assert ours == {field.name: field.default for field in msgspec.structs.fields(Limits)}
    properties = msgspec.json.schema(LimitSettings)["$defs"]["LimitSettings"]["properties"]
    assert all(
        each["description"] and ("minimum" in each or "exclusiveMinimum" in each) for each in properties.values()
    )
    assert all("maximum" in each for each in properties.values())


def test_production_loads(production):
    assert production.loaded().warnings == ()


def test_secret_files_are_relative_to_the_settings_file(production):
    settings = production.loaded().settings
    assert settings.keys.sealing == f"file:{production.root}/sealing"
    assert settings.sealing_file is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  source: pem",
            "  source: development\n  development: {directory: dev}",
            "identity.source: the development CA is refused",
        ),
        ("  sealing: file:sealing\n", "", "keys.sealing: production needs a sealing secret"),
        ('"https://login.test"', '"http://127.0.0.1:1"', "issuers[0].issuer: plain http is refused in production"),
        (
            "discovery: true",
            'jwks_uri: "http://127.0.0.1:1/jwks"',
            "issuers[0].jwks_uri: plain http is refused in production",
        ),
    ],
)
def test_production_refuses_what_is_only_good_for_trying(production, old, new, message):
    production.settings(old, new)
    production.registry("issuer: https://login.test", "issuer: http://127.0.0.1:1") if '127.0.0.1:1"' in new else None
    errors = production.errors()
    assert len(errors) == 1
    assert message in errors[0]


def test_traces_in_the_clear_are_warned_about(production):
    production.settings(
        "policies: policies", "policies: policies\ntelemetry: {otlp: {endpoint: 'http://collector.test:4318'}}"
    )
    (warning,) = production.warnings()
    assert "telemetry.otlp.endpoint: warning: traces leave this host unencrypted" in warning


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version: 1", "version: 2", "gateway.yaml:1: version: 2 is not one of its values (known: 1)"),
        ("environment: development", "enviroment: development", 'enviroment: unknown key (did you mean "environment"?)'),
        ("environment: development", "environment: prod", 'environment: "prod" is not one of its values (did you mean "production"?)'),
        ("https://gateway.test:8443", "https://gateway.test:8443/", "public_url: 'https://gateway.test:8443/' has a path"),
        ("https://gateway.test:8444", "http://gateway.test:8444", "issuer: 'http://gateway.test:8444' does not begin with https://"),
        ("trust_domain: demo.test", "trust_domain: spiffe://demo.test", "identity.trust_domain: a trust domain is written without"),
        ("  development: {directory: dev}\n", "", "identity.development: source: development needs this section"),
        ("source: development", "source: pem", "identity.pem: source: pem needs this section"),
        ("source: development", "source: workload_api", "identity.workload_api: source: workload_api needs this section"),
        ("  source: development", "  workload_api: {socket: 'unix:///run/agent.sock'}\n  source: workload_api", "identity.workload_api.socket: a socket is written without unix:, as /run/agent.sock"),
        ("  source: development", "  workload_api: {socket: /" + "a" * 107 + "}\n  source: workload_api", "identity.workload_api.socket: the path of a Unix socket has at most 107 bytes"),
        ("jwks_uri: https://login.test/jwks", "discovery: false", "needs exactly one source of keys, found none"),
        ("jwks_uri: https://login.test/jwks", "jwks_uri: https://login.test/jwks\n    discovery: true", "found discovery and jwks_uri"),
        ("jwks_uri: https://login.test/jwks", "jwks_file: jwks.json", "issuers[0].jwks_file: there is no file"),
        ("scope_map: {ledger.read: [ledger/read_balance]}", "scope_map: {a: [ledger/pay]}\n    algorithms: [HS256]", 'algorithms[0]: "HS256" is not one of its values'),
        ("scope_map: {ledger.read: [ledger/read_balance]}", "scope_map: {a: [ledger/pay]}\n    algorithms: [none]", 'algorithms[0]: "none" is not one of its values'),
        ("scope_map: {ledger.read: [ledger/read_balance]}", "scope_map: {a: [ledger/pay]}\n    algorithms: []", "algorithms: the list needs at least 1 item"),
        ("issuer: https://login.test", "issuer: http://login.test", "plain http is for loopback addresses only"),
        ("generate: true", "generate: false", "keys.signing.file: there is no file"),
        ("generate: true", "generate: maybe", "keys.signing.generate: expected true or false, found text"),
        ("[registry.yaml]", "registry.yaml", "registry: expected a list, found text"),
        ("[registry.yaml]", "[]", "registry: the list needs at least 1 item"),
        ("[registry.yaml]", "[regstry.yaml]", 'did you mean "registry.yaml"?'),
        ("policies: policies", "policies: polices", 'did you mean "policies"?'),
        ("policies: policies", "policies: policies\nlisten: {data: {port: 70000}}", "listen.data.port: expected a whole number <= 65535"),
        ("policies: policies", "policies: policies\nlisten: {data: {port: 8444}}", "listen.public.port: 127.0.0.1:8444 is also the address of listen.data"),
        ("policies: policies", "policies: policies\nlisten: {admin: {port: 8444}}", "listen.admin.port: 127.0.0.1:8444 is also the address of listen.public"),
        ("policies: policies", "policies: policies\nlisten: {admin: {issuers: [corp]}}", "listen.admin.audience: admin tokens need an audience of their own"),
        ("policies: policies", "policies: policies\nlisten: {admin: {issuers: [corpp], audience: a}}", "listen.admin.issuers[0]: no issuer is named corpp"),
        ("policies: policies", "policies: policies\nlisten: {admin: {issuers: [corp], audience: 'https://gateway.test:8443/mcp/ledger'}}", "listen.admin.audience: tokens for the data path have this audience"),
        ("policies: policies", "policies: policies\nlisten: [8443]", "listen: expected a mapping, found a list"),
        ("policies: policies", "policies: policies\nstore: {url: 'postgresql://u:pw@h/d'}", "store.url: the store is not a SQLite file"),
        ("policies: policies", "policies: policies\nlimits: {max_depth: 0}", "limits.max_depth: expected a whole number >= 1"),
        ("policies: policies", "policies: policies\nlimits: {access_ttl_seconds: 100, root_ttl_seconds: 50}", "limits.access_ttl_seconds: hop tokens would outlive"),
        ("policies: policies", "policies: policies\ntelemetry: {sample_ratio: 2}", "telemetry.sample_ratio: expected a number <= 1"),
        ("policies: policies", "policies: policies\ntelemetry: {otlp: {endpoint: 'http://127.0.0.1:1', headers: {authorization: 'env:NOT_SET'}}}", "telemetry.otlp.headers.authorization: the environment variable of env:NOT_SET is not set"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_key(refused, old, new, message):
    assert message in refused("gateway.yaml", old, new)


def test_a_literal_secret_is_refused_and_not_repeated(refused):
    error = refused("gateway.yaml", "generate: true}", "generate: true}\n  sealing: hunter2-hunter2-hunter2")
    assert "gateway.yaml:16: keys.sealing: a secret must be a reference" in error
    assert "hunter2" not in error


def test_a_secret_of_another_type_is_not_repeated_either(refused):
    error = refused("gateway.yaml", "generate: true}", "generate: true}\n  sealing: 123456789")
    assert "keys.sealing: expected text" in error
    assert "123456789" not in error


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("{name: corp, issuer: 'https://b.test', discovery: true, ceiling: [ledger/pay]}", "issuers[1].name: two issuers are named corp"),
        ("{name: b, issuer: 'https://login.test', discovery: true, ceiling: [ledger/pay]}", "issuers[1].issuer: https://login.test is listed twice"),
        ("{name: b, issuer: 'https://gateway.test:8444', discovery: true, ceiling: [ledger/pay]}", "issuers[1].issuer: this is the gateway's own issuer"),
        ("{name: b, issuer: 'https://gateway.test:8444/', discovery: true, ceiling: [ledger/pay]}", "issuers[1].issuer: this is the gateway's own issuer"),
        ("{name: B, issuer: 'https://b.test', discovery: true, ceiling: [ledger/pay]}", "issuers[1].name: 'B' is not an issuer name"),
    ],
)  # fmt: skip
def test_issuers_can_be_told_apart(refused, second, message):
    assert message in refused("gateway.yaml", "keys:\n", f"  - {second}\nkeys:\n")


def test_an_issuer_whose_tokens_are_worth_nothing_is_warned_about(folder):
    folder.settings("    scope_map: {ledger.read: [ledger/read_balance]}\n", "")
    (warning,) = folder.warnings()
    assert "tokens of issuer corp have no scopes here" in warning


def test_a_trust_bundle_for_the_own_domain_is_needed(production):
    production.settings("trust_bundles: {demo.test: roots.pem}", "trust_bundles: {other.test: roots.pem}")
    assert "identity.pem.trust_bundles: there is no trust bundle" in production.errors()[0]


def test_a_short_sealing_secret_is_refused_by_its_length_alone(production):
    production.write("sealing", "short-secret\n")
    (error,) = production.errors()
    assert error.endswith("keys.sealing: the secret of file:sealing has 12 bytes (use at least 32)")
