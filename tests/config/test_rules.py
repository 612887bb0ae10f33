import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import rules


@pytest.mark.parametrize("text", ["ledger", "a", "A.b_c-1", "x" * 128, "..."])
def test_names(text):
    assert rules.name(text) is None


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "x" * 129, "ledgér", "a\n"])
def test_no_names(text):
    assert rules.name(text)


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://demo.test/agent/analyst",
        "spiffe://d/a",
        "spiffe://a_b-c.1/A.b/_-",
        "spiffe://d/..a/a..",
    ],
)
def test_spiffe_ids(text):
    assert rules.spiffe_id(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://demo.test",
        "spiffe://demo.test/",
        "spiffe:///agent",
        "spiffe://Demo.test/a",
        "spiffe://demo.test:8443/a",
        "spiffe://user@demo.test/a",
        "spiffe://demo.test/a/",
        "spiffe://demo.test//a",
        "spiffe://demo.test/a/./b",
        "spiffe://demo.test/a/../b",
        "spiffe://demo.test/a%2fb",
        "spiffe://demo.test/a?b",
        "spiffe://demo.test/a#b",
        "spiffe://demo.test/é",
        "SPIFFE://demo.test/a",
        "https://demo.test/a",
        "spiffe://demo.test/" + "a" * 2048,
        "spiffe://demo.test/a\n",
    ],
)
def test_no_spiffe_ids(text):
    assert rules.spiffe_id(text)


@pytest.mark.parametrize("text", ["https://a.test", "https://a.test:8443", "https://[::1]:1", "https://10.0.0.1"])
def test_origins(text):
    assert rules.origin_url(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://a.test",
        "https://",
        "https:a.test",
        "https://a.test/",
        "https://a.test/x",
        "https://a.test?x",
        "https://a.test#x",
        "https://u:p@a.test",
        "https://a.test:0",
        "https://a.test:",
        "https://a.test:99999",
        "https://a.test:x",
        "https://a b",
        "https://a.test\\x",
        "https://[::1",
    ],
)
def test_no_origins(text):
    assert rules.origin_url(text)


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:9/", "http://127.9.9.9", "http://localhost:1/x", "http://[::1]:1", "https://x.test/"]
)
def test_plain_http_stays_on_this_host(text):
    assert rules.loopback_or_https_url(text) is None


@pytest.mark.parametrize(
    "text",
    ["http://a.test", "http://127.0.0.1.evil.test/", "http://0.0.0.0/", "http://localhost.test", "http://[::2]/"],
)
def test_plain_http_to_elsewhere_is_refused(text):
    assert "loopback" in rules.loopback_or_https_url(text)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a.test", True),
        ("a.test:1", True),
        ("[::1]:1", True),
        ("", False),
        ("a:b", False),
        ("a/b", False),
        ("u@a", False),
        ("a?b", False),
    ],
)
def test_hosts(text, good):
    assert (rules.host_header(text) is None) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [("corp|maria", True), ("corp|a|b", True), ("corp", False), ("|maria", False), ("corp|", False), ("Corp|a", False)],
)
def test_person_ids(text, good):
    assert (rules.person_id(text) is None) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("sqlite:///a.db", True),
        ("sqlite:////a/b.db", True),
        ("sqlite://", False),
        ("sqlite:///:memory:", False),
        ("sqlite:///a?mode=memory", False),
        ("postgresql://u:p@h/d", False),
    ],
)
def test_stores(text, good):
    assert (rules.sqlite_url(text) is None) is good


def test_a_store_url_with_a_password_is_not_repeated():
    assert "hunter2" not in rules.sqlite_url("postgresql://u:hunter2@h/d")


@pytest.mark.parametrize(
    ("text", "good"), [("ledger/read", True), ("a b", False), ('a"', False), ("a\\", False), ("", False), ("é", False)]
)
def test_scopes(text, good):
    assert (rules.scope(text) is None) is good


ALL = [
    rules.name,
    rules.idp_name,
    rules.person_id,
    rules.label,
    rules.scope,
    rules.trust_domain,
    rules.spiffe_id,
    rules.destination_host,
    rules.class_name,
    rules.https_url,
    rules.web_url,
    rules.loopback_or_https_url,
    rules.origin_url,
    rules.web_origin,
    rules.host_header,
    rules.sqlite_url,
]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.__name__)
@given(text=st.text() | st.text(alphabet="spiffe:/htqlab.[]@?#%&1-_|\\ ", max_size=40))
def test_any_text_gets_an_answer(rule, text):
    fault = rule(text)
    assert fault is None or fault


@given(st.text(max_size=60))
def test_a_good_spiffe_id_has_one_reading(text):
    candidate = f"spiffe://demo.test/{text}"
    if rules.spiffe_id(candidate) is None:
        assert all(part and part not in {".", ".."} for part in text.split("/"))
        assert candidate.isascii()
