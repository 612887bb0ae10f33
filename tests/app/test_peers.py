"""Files of the federation that can't be used: said by ``hopgate check``, and nothing is served with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.app.parts import PartError
from gateway.cli import main
from tests.federation.sides import Sides, sides
from tests.gateways import running

PUBLIC = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "RS256", "use": "sig"}


@pytest.fixture
def pair(tmp_path: Path) -> Sides:
    return sides(tmp_path)


def check(found: Sides) -> Result:
    return CliRunner().invoke(main, ["check", "--config", str(found.b.write())])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("<html>", "is no JWKS: "),
        ("{}", "is no JWKS: it has no list of keys"),
        (json.dumps({"keys": []}), "has no public key for ES256 or EdDSA signatures"),
        (json.dumps({"keys": [PUBLIC]}), "has no public key for ES256 or EdDSA signatures"),
    ],
)
async def test_pinned_keys(pair: Sides, content: str, why: str) -> None:
    assert check(pair).exit_code == 0
    file = pair.b.directory / "peer.json"
    file.write_text(content)
    done = check(pair)
    assert done.exit_code == 1
    assert f"federation: peers.a.jwks_file: {file}: {why}" in done.stderr
    with pytest.raises(ExceptionGroup) as caught:
        async with running(pair.b):
            pass
    assert isinstance(caught.value.exceptions[0], PartError)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"profile": "https_web", "ca_file": "bad.pem"}, "bundles.c.test.ca_file: "),
        (
            {"profile": "https_spiffe", "spiffe_id": "spiffe://c.test/x", "bootstrap": "bad.pem"},
            "bundles.c.test.bootstrap: ",
        ),
    ],
)
def test_roots_of_bundle_endpoints(pair: Sides, source: dict[str, Any], why: str) -> None:
    (pair.b.directory / "bad.pem").write_text("nothing")
    pair.b.settings["federation"]["bundles"] = {"c.test": {"url": "https://c.test/bundle", **source}}
    done = check(pair)
    assert done.exit_code == 1
    assert f"federation: {why}{pair.b.directory}/bad.pem: holds no PEM certificate" in done.stderr
