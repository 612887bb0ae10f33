# ruff: noqa: E501 - tables of cases are read line by line
"""Third parties' servers and consent in the configuration: what is read, and what each mistake is told."""

import pytest

from gateway.core.third_party import ApiKey, OAuthClient, ThirdParty

UPSTREAM = 'upstream: {url: "https://127.0.0.1:9002/mcp", spiffe_id: spiffe://demo.test/server/ledger}'
OAUTH = "grant: client_credentials, issuer: https://auth.test, client_id: hopgate, client_secret: env:SECRET"
CODE = OAUTH.replace("client_credentials", "authorization_code")


@pytest.fixture
def third(folder):
    """Make the ledger a third party's with these keys."""
    folder.environ["SECRET"] = "the secret of the tests"

    def change(keys: str, url: str = "https://mcp.ledger.test/mcp"):
        folder.registry(UPSTREAM, f'upstream: {{url: "{url}", {keys}}}')
        return folder

    return change


def test_a_client_of_the_third_partys_issuer(third):
    found = third(f"tls: web, oauth: {{{OAUTH}, scopes: [issues]}}").loaded().registry.servers["ledger"].upstream
    assert found.spiffe_id is None
    assert found.third_party == ThirdParty(
        None,
        OAuthClient(
            grant="client_credentials",
            issuer="https://auth.test",
            client_id="hopgate",
            authentication="client_secret_basic",
            secret="env:SECRET",
            scopes=("issues",),
            resource="https://mcp.ledger.test/mcp",
        ),
    )
    assert found.third_party.kind == "oauth client_credentials"


def test_a_key_file_and_certificates_are_found_beside_the_registry(third):
    folder = third(
        "tls: web, ca_file: ca.pem, oauth: {grant: client_credentials, issuer: https://auth.test, client_id: h, client_key: file:key.pem, ca_file: ca.pem}"
    )
    folder.write("ca.pem", "a certificate")
    folder.write("key.pem", "a key")
    found = folder.loaded().registry.servers["ledger"].upstream.third_party
    assert (found.ca_file, found.credential.ca_file) == (str(folder.root / "ca.pem"),) * 2
    assert (found.credential.secret, found.credential.authentication) == (
        f"file:{folder.root}/key.pem",
        "private_key_jwt",
    )


def test_a_fixed_secret_in_a_header(third):
    folder = third("tls: web, credential: {header: X-Api-Key, value: env:SECRET}")
    found = folder.loaded().registry.servers["ledger"].upstream.third_party
    assert (found.credential, found.kind) == (ApiKey("X-Api-Key", "env:SECRET"), "api_key")


@pytest.mark.parametrize(
    ("keys", "url", "message"),
    [
        (f"oauth: {{{OAUTH}}}, spiffe_id: spiffe://demo.test/x", "https://x.test/", "upstream.oauth: oauth is for third-party upstreams"),
        ("credential: {header: X-Key, value: env:SECRET}, spiffe_id: spiffe://demo.test/x", "https://x.test/", "upstream.credential: credential is for third-party"),
        ("tls: web, spiffe_id: spiffe://demo.test/x", "https://x.test/", "upstream.spiffe_id: tls: web and spiffe_id exclude each other"),
        ("tls: web", "http://127.0.0.1:9/", "upstream.tls: nothing is verified over plain http"),
        ("tls: web, audience: https://x.test", "https://x.test/", "upstream.audience: a third party's server gets no hop token"),
        ("tls: wbe", "https://x.test/", 'upstream.tls: "wbe" is not one of its values (did you mean "web"'),
        (f"tls: web, oauth: {{{OAUTH}}}, credential: {{header: X-Key, value: env:SECRET}}", "https://x.test/", "upstream.credential: oauth and credential exclude"),
        (f"tls: web, oauth: {{{OAUTH}, client_key: env:SECRET}}", "https://x.test/", "oauth.client_key: client_secret and client_key exclude"),
        ("tls: web, oauth: {grant: client_credentials, issuer: https://a.test, client_id: h}", "https://x.test/", "upstream.oauth: grant: client_credentials needs a client that authenticates"),
        (f"tls: web, oauth: {{{OAUTH.replace('https:', 'http:')}}}", "https://x.test/", "oauth.issuer: plain http is for loopback"),
        (f"tls: web, oauth: {{{OAUTH.replace('env:SECRET', 'hunter2')}}}", "https://x.test/", "oauth.client_secret: a secret must be a reference"),
        (f"tls: web, oauth: {{{OAUTH.replace('env:SECRET', 'env:NOWHERE')}}}", "https://x.test/", "oauth.client_secret: the environment variable of env:NOWHERE is not set"),
        ("tls: web, credential: {header: Host, value: env:SECRET}", "https://x.test/", "credential.header: the header Host is set by the gateway itself"),
        ("tls: web, credential: {header: mcp-session-id, value: env:SECRET}", "https://x.test/", "credential.header: the header mcp-session-id is set"),
        ('tls: web, credential: {header: "X: y", value: env:SECRET}', "https://x.test/", "is not a header name"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(third, keys, url, message):
    (error,) = third(keys, url).errors()
    assert error.startswith("registry.yaml:2")
    assert message in error
    assert "hunter2" not in error


def test_users_who_consent_need_a_login(third):
    folder = third(f"tls: web, oauth: {{{CODE}}}")
    (error,) = folder.errors()
    assert "gateway.yaml" in error
    assert "consent: users have to consent to server ledger, and no login says who they are" in error
    folder.settings("policies: policies", "policies: policies\nconsent: {logins: {corp: {client_id: login}}}")
    settings = folder.loaded().settings
    assert settings.consent.logins["corp"].scopes == ("openid",)


@pytest.mark.parametrize(
    ("logins", "message"),
    [
        ("{crop: {client_id: login}}", 'consent.logins.crop: no issuer has this name (did you mean "corp"?'),
        ("{corp: {client_id: login, scopes: [profile]}}", "consent.logins.corp.scopes: without openid there is no ID token"),
        ("{corp: {}}", "consent.logins.corp.client_id: this key is required"),
    ],
)  # fmt: skip
def test_mistakes_of_logins_are_told(folder, logins, message):
    folder.settings("policies: policies", f"policies: policies\nconsent: {{logins: {logins}}}")
    (error,) = folder.errors()
    assert message in error


def test_production_asks_no_issuer_over_plain_http(third):
    folder = third(f"tls: web, oauth: {{{OAUTH.replace('https://auth.test', 'http://127.0.0.1:9')}}}")
    assert folder.loaded()
    folder.settings("environment: development", "environment: production")
    assert any("authorization server of ledger is asked over plain http" in error for error in folder.errors())
