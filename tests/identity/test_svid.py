import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.spiffe import parse_spiffe_id, trust_domain_of
from gateway.identity.svid import PeerRejectedError, Refusal, verify_peer
from tests.identity.pki import NOW, Shape, World, key_usage, make, root

AT = NOW.timestamp()
ADMIN = "spiffe://a.test/admin"


def refusal(world: World, chain: list[bytes], purpose: Any = "client", at: float = AT) -> Refusal:
    with pytest.raises(PeerRejectedError) as caught:
        verify_peer(chain, world.bundles, at, purpose)
    return caught.value.reason


@pytest.fixture(scope="module")
def valid_der(world: World) -> bytes:
    return world.leaf().der[0]


class TestSpiffeId:
    @pytest.mark.parametrize(
        "text",
        ["spiffe://a.test/x", "spiffe://a-b_c.9/Agent/x.y_z-1", "spiffe://a/..x", "spiffe://" + "a" * 255 + "/x"],
    )
    def test_accepts(self, text: str) -> None:
        assert parse_spiffe_id(text) == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "spiffe://",
            "spiffe:///x",
            "SPIFFE://a.test/x",
            "https://a.test/x",
            "spiffe:a.test/x",
            "spiffe://a.test",
            "spiffe://a.test/",
            "spiffe://a.test/x/",
            "spiffe://a.test//x",
            "spiffe://a.test/./x",
            "spiffe://a.test/x/..",
            "spiffe://A.test/x",
            "spiffe://a.test:443/x",
            "spiffe://me@a.test/x",
            "spiffe://a.test/x?y",
            "spiffe://a.test/x#y",
            "spiffe://a.test/x%2fy",
            "spiffe://a.test/é",
            "spiffe://á.test/x",
            "spiffe://a.test/x y",
            "spiffe://a.test/x\n",
            " spiffe://a.test/x",
            "spiffe://[::1]/x",
            "spiffe://" + "a" * 256 + "/x",
            "spiffe://a.test/" + "x" * 2048,
        ],
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"SPIFFE ID|trust domain|segment"):
            parse_spiffe_id(text)

    @given(st.text(max_size=60) | st.text("spiffe:/a.tT%?#@-_", max_size=40).map("spiffe://a".__add__))
    def test_whatever_is_accepted_has_one_reading(self, text: str) -> None:
        try:
            accepted = parse_spiffe_id(text)
        except ValueError:
            return
        assert accepted == text
        assert accepted == f"spiffe://{trust_domain_of(accepted)}/" + accepted.split("/", 3)[3]
        assert accepted.isascii()
        assert not set(accepted) & set("%?#@ \\")
        assert trust_domain_of(accepted) == trust_domain_of(accepted).lower()


class TestAccepted:
    def test_names_the_peer(self, world: World) -> None:
        leaf = world.leaf()
        peer = verify_peer(leaf.der, world.bundles, AT, "client")
        assert (peer.spiffe_id, peer.trust_domain) == ("spiffe://a.test/agent/x", "a.test")
        digest = base64.urlsafe_b64encode(hashlib.sha256(leaf.der[0]).digest()).decode().rstrip("=")
        assert peer.x5t == digest
        assert peer.not_after == int((NOW + timedelta(hours=1)).timestamp())

    @pytest.mark.parametrize(
        "shape",
        [
            {"extended": ()},
            {"dns": ("localhost",)},
            {"key": ec.generate_private_key(ec.SECP384R1())},
            {"key": ed25519.Ed25519PrivateKey.generate()},
            {"key": rsa.generate_private_key(65537, 2048)},
        ],
        ids=["no extended key usage", "a DNS name too", "P-384", "Ed25519", "RSA 2048"],
    )
    def test_shapes(self, world: World, shape: dict[str, Any]) -> None:
        leaf = world.leaf(**shape)
        for purpose in ("client", "server"):
            assert verify_peer(leaf.der, world.bundles, AT, purpose).spiffe_id == "spiffe://a.test/agent/x"

    def test_each_domain_by_its_own_root(self, world: World) -> None:
        peer = verify_peer(world.leaf("spiffe://b.test/y").der, world.bundles, AT, "client")
        assert peer.trust_domain == "b.test"

    def test_through_intermediates_and_no_longer_than_they_live(self, world: World) -> None:
        soon = NOW + timedelta(minutes=5)
        intermediate = world.a.issue("intermediate", Shape(ca=True, not_after=soon))
        leaf = intermediate.issue("leaf", Shape(uris=[ADMIN]))
        assert len(leaf.der) == 2
        assert verify_peer(leaf.der, world.bundles, AT, "client").not_after == int(soon.timestamp())


class TestRefused:
    def test_other_domains_root(self, world: World) -> None:
        """The attack that OpenSSL with one store for both domains accepts."""
        stolen = world.b.issue("leaf", Shape(uris=[ADMIN]))
        assert refusal(world, stolen.der) is Refusal.PATH

    def test_other_domains_intermediate(self, world: World) -> None:
        stolen = world.b.issue("i", Shape(ca=True, uris=["spiffe://a.test"])).issue("leaf", Shape(uris=[ADMIN]))
        assert refusal(world, stolen.der) is Refusal.PATH

    def test_root_of_the_same_name(self, world: World) -> None:
        assert refusal(world, root("a root").issue("leaf", Shape(uris=[ADMIN])).der) is Refusal.PATH

    def test_unknown_domain(self, world: World) -> None:
        assert refusal(world, world.a.issue("l", Shape(uris=["spiffe://c.test/x"])).der) is Refusal.TRUST_DOMAIN
        with pytest.raises(PeerRejectedError):
            verify_peer(world.leaf().der, {"a.test": ()}, AT, "client")

    @pytest.mark.parametrize(
        ("shape", "reason"),
        [
            ({"uris": [ADMIN, "spiffe://a.test/other"]}, Refusal.SPIFFE_ID),
            ({"uris": [ADMIN, "https://a.test/"]}, Refusal.SPIFFE_ID),
            ({"uris": []}, Refusal.SPIFFE_ID),
            ({"uris": [], "dns": ["a.test"]}, Refusal.SPIFFE_ID),
            ({"uris": ["spiffe://a.test"]}, Refusal.SPIFFE_ID),
            ({"uris": ["spiffe://a.test/x/../admin"]}, Refusal.SPIFFE_ID),
            ({"uris": [ADMIN], "ca": True}, Refusal.CA_LEAF),
            ({"uris": [ADMIN], "ca": True, "usage": key_usage(False)}, Refusal.CA_LEAF),
            ({"uris": [ADMIN], "usage": key_usage(True)}, Refusal.KEY_USAGE),
            ({"uris": [ADMIN], "usage_critical": False}, Refusal.KEY_USAGE),
            ({"uris": [ADMIN], "usage_present": False}, Refusal.KEY_USAGE),
            ({"uris": [ADMIN], "extended": [ExtendedKeyUsageOID.SERVER_AUTH]}, Refusal.EXTENDED_KEY_USAGE),
            ({"uris": [ADMIN], "extended": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]}, Refusal.EXTENDED_KEY_USAGE),
            ({"uris": [ADMIN], "key": rsa.generate_private_key(65537, 1024)}, Refusal.KEY_WEAK),
            ({"uris": [ADMIN], "key": ec.generate_private_key(ec.SECP256K1())}, Refusal.KEY_WEAK),
            ({"uris": [ADMIN], "not_after": NOW - timedelta(seconds=1)}, Refusal.PATH),
            ({"uris": [ADMIN], "not_before": NOW + timedelta(minutes=1)}, Refusal.PATH),
            (
                {
                    "uris": [ADMIN],
                    "extra": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)],
                },
                Refusal.PATH,
            ),
        ],
    )
    def test_leaf(self, world: World, shape: dict[str, Any], reason: Refusal) -> None:
        assert refusal(world, world.a.issue("leaf", Shape(**shape)).der) is reason

    def test_purpose_is_the_role_played(self, world: World) -> None:
        server_only = world.leaf(extended=[ExtendedKeyUsageOID.SERVER_AUTH])
        client_only = world.leaf(extended=[ExtendedKeyUsageOID.CLIENT_AUTH])
        assert verify_peer(server_only.der, world.bundles, AT, "server")
        assert verify_peer(client_only.der, world.bundles, AT, "client")
        assert refusal(world, client_only.der, "server") is Refusal.EXTENDED_KEY_USAGE

    @pytest.mark.parametrize(
        "shape",
        [
            {"ca": False},
            {"ca": True, "usage": x509.KeyUsage(True, False, False, False, False, False, True, False, False)},
            {"ca": True, "not_after": NOW - timedelta(seconds=1)},
            {"ca": True, "extra": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]},
            {
                "ca": True,
                "extra": [(x509.NameConstraints([x509.UniformResourceIdentifier("a.test")], None), True)],
            },
        ],
        ids=["not a CA", "may not sign certificates", "expired", "for servers only", "URI constraint"],
    )
    def test_intermediate(self, world: World, shape: dict[str, Any]) -> None:
        leaf = world.a.issue("intermediate", Shape(**shape)).issue("leaf", Shape(uris=[ADMIN]))
        assert refusal(world, leaf.der) is Refusal.PATH

    def test_intermediate_beyond_path_length(self, world: World) -> None:
        first = world.a.issue("first", Shape(ca=True, path_length=0))
        leaf = first.issue("second", Shape(ca=True)).issue("leaf", Shape(uris=[ADMIN]))
        assert refusal(world, leaf.der) is Refusal.PATH

    def test_missing_intermediate(self, world: World) -> None:
        leaf = world.a.issue("intermediate", Shape(ca=True)).issue("leaf", Shape(uris=[ADMIN]))
        assert refusal(world, leaf.der[:1]) is Refusal.PATH

    def test_leaf_in_the_bundle_vouches_for_nobody(self, world: World) -> None:
        own = make("self", Shape(uris=[ADMIN]))
        with pytest.raises(PeerRejectedError) as caught:
            verify_peer(own.der, {"a.test": (own.certificate,)}, AT, "client")
        assert caught.value.reason is Refusal.PATH

    def test_expiry_is_judged_at_the_given_time(self, world: World) -> None:
        later = (NOW + timedelta(hours=2)).timestamp()
        assert refusal(world, world.leaf().der, at=later) is Refusal.PATH

    def test_shape_of_the_chain(self, world: World) -> None:
        good = world.leaf().der
        assert refusal(world, []) is Refusal.NO_CERTIFICATE
        assert refusal(world, [b""]) is Refusal.MALFORMED
        assert refusal(world, [*good, b"junk"]) is Refusal.MALFORMED
        assert refusal(world, good * 9) is Refusal.CHAIN_LENGTH

    @given(data=st.data())
    def test_no_altered_byte_changes_what_was_signed(self, world: World, valid_der: bytes, data: st.DataObject) -> None:
        """The signature itself has second spellings that verify (unused bits, n - s), as in any X.509 verifier."""
        der = bytearray(valid_der)
        at = data.draw(st.integers(0, len(der) - 1))
        der[at] ^= data.draw(st.integers(1, 255))
        try:
            verify_peer([bytes(der)], world.bundles, AT, "client")
        except PeerRejectedError:
            return
        signed = [x509.load_der_x509_certificate(each).tbs_certificate_bytes for each in (bytes(der), valid_der)]
        assert signed[0] == signed[1]
