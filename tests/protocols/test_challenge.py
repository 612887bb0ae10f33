import pytest

from gateway.protocols.challenge import challenge

URL = "https://gw.test/.well-known/oauth-protected-resource/mcp/ledger"


def test_the_three_challenges() -> None:
    assert challenge(URL) == f'Bearer resource_metadata="{URL}"'
    assert challenge(URL, error="invalid_token") == f'Bearer error="invalid_token", resource_metadata="{URL}"'
    assert challenge(URL, ["ledger/pay", "ledger/list"], "insufficient_scope") == (
        f'Bearer error="insufficient_scope", scope="ledger/list ledger/pay", resource_metadata="{URL}"'
    )


def test_equal_needs_are_equal_challenges() -> None:
    assert challenge(URL, ["b", "a", "b"]) == challenge(URL, ["a", "b"])


@pytest.mark.parametrize("scope", ["", "a b", 'a"', "a\\", "a\r\nX: y", "é"])
def test_a_scope_can_not_end_its_quotes(scope: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        challenge(URL, ["ok", scope])


def test_a_url_can_not_end_its_quotes() -> None:
    with pytest.raises(ValueError, match="URL"):
        challenge('https://x/", error="')
