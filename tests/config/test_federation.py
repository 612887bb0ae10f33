"""``federation`` and ``upstream.gateway``: what is right, and what is said of each mistake, with its place."""

import pytest

from gateway.core.model import SpiffeId

PEER = """\
    b:
      issuer: https://gw.b.test:8444
      trust_domain: b.test
      spiffe_id: spiffe://b.test/hopgate
      token_endpoint: https://gw.b.test:8443/oauth/token
      jwks_uri: https://gw.b.test:8443/.well-known/jwks.json
      users: {partner: https://login.b.test}
      scopes: {lesen: [ledger/read_balance]}
"""
BUNDLE = """\
    b.test:
      url: https://gw.b.test:8444/.well-known/spiffe-bundle
      profile: https_web
"""
END = "policies: policies"
ACROSS = 'upstream: {url: "https://gw.b.test:8443/a2a/analyst", gateway: b}'


def section(peers: str = PEER, bundles: str = BUNDLE) -> str:
    return f"{END}\nfederation:\n  peers:\n{peers}  bundles:\n{bundles}"


def test_a_peer_and_what_is_behind_it(folder):
    folder.settings(END, section())
    folder.registry('upstream: {url: "https://127.0.0.1:9001/"}', ACROSS)
    loaded = folder.loaded()
    peer = loaded.settings.federation.peers["b"]
    assert (peer.max_depth, peer.trust_domains, peer.audit) == (4, (), None)
    upstream = loaded.registry.agents["analyst"].upstream
    assert upstream is not None
    assert (upstream.spiffe_id, upstream.gateway) == (SpiffeId("spiffe://b.test/hopgate"), "b")
    assert loaded.routes["/a2a/analyst"].audience == "https://gw.b.test:8443/a2a/analyst"
    assert [str(each) for each in loaded.warnings] == []


def test_a_server_behind_a_peer_has_the_peer_s_identity(folder):
    folder.settings(END, section())
    folder.registry(
        'upstream: {url: "https://127.0.0.1:9002/mcp", spiffe_id: spiffe://demo.test/server/ledger}',
        'upstream: {url: "https://gw.b.test:8443/mcp/ledger", gateway: b}',
    )
    upstream = folder.loaded().registry.servers["ledger"].upstream
    assert (upstream.spiffe_id, upstream.gateway) == (SpiffeId("spiffe://b.test/hopgate"), "b")


def changed(old: str, new: str) -> str:
    assert old in PEER
    return section(PEER.replace(old, new))


SECOND = PEER.replace("    b:\n", "    c:\n")
WRONG = {
    "no keys": (
        changed("      jwks_uri: https://gw.b.test:8443/.well-known/jwks.json\n", ""),
        "federation.peers.b: a peer needs exactly one source of keys, found none",
    ),
    "two sources of keys": (
        changed("      users:", "      jwks_file: registry.yaml\n      users:"),
        "federation.peers.b: a peer needs exactly one source of keys, found both",
    ),
    "keys by plain http": (
        changed("jwks_uri: https:", "jwks_uri: http:"),
        "federation.peers.b.jwks_uri: 'http://gw.b.test:8443/.well-known/jwks.json' does not begin with https://",
    ),
    "a gateway of another domain": (
        changed("spiffe://b.test/hopgate", "spiffe://c.test/hopgate"),
        "federation.peers.b.spiffe_id: the gateway is of trust domain c.test, not of b.test",
    ),
    "no SPIFFE ID": (changed("spiffe://b.test/hopgate", "b.test/hopgate"), "federation.peers.b.spiffe_id: "),
    "our own trust domain": (
        changed("trust_domain: b.test", "trust_domain: demo.test").replace("spiffe://b.test", "spiffe://demo.test"),
        "federation.peers.b.trust_domain: demo.test is the gateway's own trust domain, which no peer vouches for",
    ),
    "our own agents by a peer": (
        changed("      users:", "      trust_domains: [c.test, demo.test]\n      users:"),
        "federation.peers.b.trust_domains[1]: demo.test is the gateway's own trust domain",
    ),
    "our own issuer": (
        changed("issuer: https://gw.b.test:8444", "issuer: https://gateway.test:8444"),
        "federation.peers.b.issuer: this is the gateway's own issuer",
    ),
    "an issuer of users": (
        changed("issuer: https://gw.b.test:8444", "issuer: https://login.test"),
        "federation.peers.b.issuer: this is also issuer corp of user tokens",
    ),
    "our users by another name's issuer": (
        changed("partner: https://login.b.test", "corp: https://login.b.test"),
        "federation.peers.b.users.corp: users of corp are those of https://login.test here",
    ),
    "depth of nothing": (changed("      users:", "      max_depth: 0\n      users:"), "federation.peers.b.max_depth: "),
    "an unknown key": (
        changed("      users:", "      scope: {}\n      users:"),
        "federation.peers.b.scope: unknown key",
    ),
    "one issuer twice": (section(PEER + SECOND), "federation.peers.c.issuer: this issuer is already that of b"),
    "one gateway twice": (
        section(PEER + SECOND.replace("8444", "9444")),
        "federation.peers.c.spiffe_id: this spiffe_id is already that of b",
    ),
    "one name for two issuers": (
        section(
            PEER
            + SECOND.replace("b.test", "c.test").replace(
                "partner: https://login.c.test", "partner: https://login.x.test"
            )
        ),
        "federation.peers.c.users.partner: peer b has another issuer by the name partner: https://login.b.test",
    ),
    "our own bundle": (
        section(bundles=BUNDLE.replace("b.test:\n", "demo.test:\n", 1)),
        'federation.bundles["demo.test"]: the bundle of the gateway\'s own trust domain is never fetched',
    ),
    "our own endpoint": (
        section(bundles=BUNDLE.replace("gw.b.test:8444", "gateway.test:8444")),
        'federation.bundles["b.test"].url: this is the gateway\'s own bundle endpoint',
    ),
    "a bundle by plain http": (
        section(bundles=BUNDLE.replace("https://gw", "http://gw")),
        'federation.bundles["b.test"].url: ',
    ),
    "another profile": (
        section(bundles=BUNDLE.replace("https_web", "https_wep")),
        'federation.bundles["b.test"].profile: "https_wep" is not one of its values (did you mean "https_web"?)',
    ),
    "no SPIFFE ID for https_spiffe": (
        section(bundles=BUNDLE.replace("https_web", "https_spiffe")),
        'federation.bundles["b.test"].spiffe_id: profile https_spiffe needs the SPIFFE ID of the endpoint',
    ),
    "a SPIFFE ID for https_web": (
        section(bundles=BUNDLE + "      spiffe_id: spiffe://b.test/x\n"),
        'federation.bundles["b.test"].spiffe_id: spiffe_id has no meaning for profile https_web',
    ),
    "a CA file for https_spiffe": (
        section(
            bundles=BUNDLE.replace("https_web", "https_spiffe")
            + "      spiffe_id: spiffe://b.test/x\n      ca_file: registry.yaml\n"
        ),
        'federation.bundles["b.test"].ca_file: ca_file has no meaning for profile https_spiffe',
    ),
    "bounds that cross": (
        section(bundles=BUNDLE + "      least_seconds: 90\n      most_seconds: 60\n"),
        'federation.bundles["b.test"].least_seconds: least_seconds is over most_seconds',
    ),
    "stale before it is old": (
        section(bundles=BUNDLE + "      stale_seconds: 60\n"),
        'federation.bundles["b.test"].stale_seconds: the bundle would be stale before it is fetched again',
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_of_the_settings(folder, case):
    written, message = WRONG[case]
    folder.settings(END, written)
    # What is named twice is said of each thing that is.
    assert any(f": {message}" in error for error in folder.errors())


def test_a_scope_that_nothing_needs_is_a_warning(folder):
    folder.settings(END, changed("lesen: [ledger/read_balance]", "lesen: [ledger/read_balence]"))
    [warning] = folder.loaded().warnings
    assert 'federation.peers.b.scopes.lesen[0]: warning: nothing needs the scope "ledger/read_balence"' in str(warning)


REGISTRY = {
    "an unknown peer": (
        'upstream: {url: "https://127.0.0.1:9001/"}',
        ACROSS.replace("gateway: b", "gateway: bb"),
        'agents.analyst.upstream.gateway: no peer gateway is named "bb" (did you mean "b"?)',
    ),
    "plain http to a peer": (
        'upstream: {url: "https://127.0.0.1:9001/"}',
        'upstream: {url: "http://127.0.0.1:9001/", gateway: b}',
        "agents.analyst.upstream.url: a route of a peer gateway is reached by https only",
    ),
    "an identity besides the peer's": (
        'upstream: {url: "https://127.0.0.1:9002/mcp",',
        'upstream: {url: "https://127.0.0.1:9002/mcp", gateway: b,',
        "servers.ledger.upstream.spiffe_id: the upstream is the peer gateway, whose SPIFFE ID is in the settings",
    ),
    "the peer's gateway as an agent": (
        "spiffe://demo.test/agent/planner",
        "spiffe://b.test/hopgate",
        "agents.planner.spiffe_id: this is peer gateway b, which brings the chains of others",
    ),
}


@pytest.mark.parametrize("case", REGISTRY)
def test_mistakes_of_the_registry(folder, refused, case):
    old, new, message = REGISTRY[case]
    folder.settings(END, section())
    assert message in refused("registry.yaml", old, new)


def test_a_route_to_a_peer_needs_an_agent(folder, refused):
    folder.registry('upstream: {url: "https://127.0.0.1:9001/"}', ACROSS)
    written = section() + "routes: {a2a: {analyst: {clients: user-only}}}\n"
    message = "routes.a2a.analyst.clients: the route leads to a peer gateway, which takes only chains with an agent"
    assert message in refused("gateway.yaml", END, written)


def test_agents_of_a_peer_s_side_need_no_trust_bundle_here(folder):
    folder.settings(END, section(bundles="    x.test:\n      url: https://x.test/\n      profile: https_web\n"))
    folder.registry("spiffe://demo.test/agent/planner", "spiffe://b.test/agent/planner")
    assert folder.loaded().warnings == ()
    folder.registry("spiffe://b.test/agent/planner", "spiffe://c.test/agent/planner")
    [warning] = folder.loaded().warnings
    assert "no trust bundle is configured for c.test" in str(warning)
