import ssl
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.core.model import SpiffeId
from gateway.identity.dev import ORGANIZATION, ensure, issue_svid
from gateway.identity.material import MaterialError, read_bundles, read_key_pair
from gateway.identity.svid import verify_peer
from gateway.identity.tls import client_context, server_context

AGENT = "spiffe://demo.test/agent/analyst"
NOW = datetime.now(UTC)


def leaf(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_gateway_material_is_a_valid_svid(tmp_path: Path) -> None:
    material = ensure(tmp_path, "demo.test", hosts=("gateway.demo.test", "10.0.0.7"))
    assert material.identity(time.time()).spiffe_id == "spiffe://demo.test/hopgate"
    names = leaf(tmp_path / "hopgate.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "gateway.demo.test"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.7"]


def test_usable_by_tls(tmp_path: Path) -> None:
    material = ensure(tmp_path, "demo.test")
    assert isinstance(server_context(material, lambda *_: None), ssl.SSLContext)
    assert isinstance(client_context(material, SpiffeId(AGENT), lambda *_: None), ssl.SSLContext)


def test_agents_svid_verifies_in_both_roles(tmp_path: Path) -> None:
    files = issue_svid(tmp_path / "ca", AGENT, tmp_path / "out", "analyst", hosts=("127.0.0.1",))
    chain = read_key_pair(files.certificate, files.key).chain_der
    bundles = read_bundles({"demo.test": files.bundle})
    for purpose in ("client", "server"):
        assert verify_peer(chain, bundles, time.time(), purpose).spiffe_id == AGENT


def test_nothing_changes_while_fresh(tmp_path: Path) -> None:
    first, second = ensure(tmp_path, "demo.test", now=NOW), ensure(tmp_path, "demo.test", now=NOW + timedelta(hours=1))
    assert first == second


def test_renewed_near_expiry_under_the_same_root(tmp_path: Path) -> None:
    first, second = ensure(tmp_path, "demo.test", now=NOW), ensure(tmp_path, "demo.test", now=NOW + timedelta(hours=17))
    assert first.own != second.own
    assert first.bundles == second.bundles
    assert leaf(tmp_path / "hopgate.pem").not_valid_after_utc > NOW + timedelta(hours=40)


def test_renewed_when_names_change_or_files_break(tmp_path: Path) -> None:
    first = ensure(tmp_path, "demo.test")
    second = ensure(tmp_path, "demo.test", hosts=("gateway.demo.test",))
    assert first.own != second.own
    (tmp_path / "hopgate.pem").write_text("junk")
    assert ensure(tmp_path, "demo.test").identity(time.time())


def test_renewed_when_the_root_is_gone(tmp_path: Path) -> None:
    first = ensure(tmp_path, "demo.test")
    (tmp_path / "ca-key.pem").unlink()
    second = ensure(tmp_path, "demo.test")
    assert first.bundles != second.bundles
    assert second.identity(time.time())


def test_root_is_replaced_before_it_ends(tmp_path: Path) -> None:
    first, later = ensure(tmp_path, "demo.test", now=NOW), NOW + timedelta(days=364, hours=12)
    second = ensure(tmp_path, "demo.test", now=later)
    assert first.bundles != second.bundles
    assert second.identity(later.timestamp())


def test_leaf_and_root_are_marked_and_distinct(tmp_path: Path) -> None:
    ensure(tmp_path, "demo.test")
    own, root = leaf(tmp_path / "hopgate.pem"), leaf(tmp_path / "ca.pem")
    assert own.subject != root.subject
    for certificate in (own, root):
        assert certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == ORGANIZATION
    assert "not for production" in ORGANIZATION
    assert own.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert own.not_valid_after_utc - own.not_valid_before_utc <= timedelta(hours=25)


def test_files_are_private(tmp_path: Path) -> None:
    ensure(tmp_path / "ca", "demo.test")
    files = [file for file in (tmp_path / "ca").iterdir() if file.suffix == ".pem"]
    assert sorted(file.name for file in files) == ["ca-key.pem", "ca.pem", "hopgate-key.pem", "hopgate.pem"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700


def test_refuses_the_ca_of_another_domain(tmp_path: Path) -> None:
    ensure(tmp_path, "demo.test")
    with pytest.raises(MaterialError, match=r"is not the development CA of other\.test"):
        issue_svid(tmp_path, "spiffe://other.test/x", tmp_path, "x")


def test_refuses_what_is_no_spiffe_id(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trust domain"):
        ensure(tmp_path, "Demo.test")


def test_an_unusable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MaterialError, match="file: "):
        ensure(tmp_path / "file", "demo.test")


def test_two_at_once_agree_on_one_root(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: issue_svid(tmp_path, AGENT, tmp_path, f"a{n}"), range(8)))
    bundles = read_bundles({"demo.test": tmp_path / "ca.pem"})
    for files in made:
        assert verify_peer(read_key_pair(files.certificate, files.key).chain_der, bundles, time.time(), "client")


def extensions(file: Path) -> dict[str, tuple[object, bool]]:
    return {type(each.value).__name__: (each.value, each.critical) for each in leaf(file).extensions}


def usage(**uses: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**(dict.fromkeys(names, False) | uses))


def test_every_extension_of_root_and_leaf(tmp_path: Path) -> None:
    """As X509-SVID section 4 and its appendix A ask."""
    issue_svid(tmp_path, AGENT, tmp_path, "a")
    root, own = extensions(tmp_path / "ca.pem"), extensions(tmp_path / "a.pem")
    key = root.pop("SubjectKeyIdentifier")
    assert root == {
        "BasicConstraints": (x509.BasicConstraints(ca=True, path_length=0), True),
        "KeyUsage": (usage(key_cert_sign=True, crl_sign=True), True),
        "SubjectAlternativeName": (
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://demo.test")]),
            False,
        ),
    }
    assert isinstance(key[0], x509.SubjectKeyIdentifier)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key[0])
    assert not own.pop("SubjectKeyIdentifier")[1]
    assert own == {
        "BasicConstraints": (x509.BasicConstraints(ca=False, path_length=None), True),
        "KeyUsage": (usage(digital_signature=True), True),
        "ExtendedKeyUsage": (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            False,
        ),
        "SubjectAlternativeName": (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(AGENT)]), False),
        "AuthorityKeyIdentifier": (issuer, False),
    }


def test_names_that_are_too_long_for_a_subject_are_cut(tmp_path: Path) -> None:
    def common_name(file: Path) -> object:
        return leaf(file).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value

    domain, path = "d" * 70, "spiffe://demo.test/" + "p" * 70
    issue_svid(tmp_path / "long", f"spiffe://{domain}/x", tmp_path, "x", now=NOW)
    assert common_name(tmp_path / "long" / "ca.pem") == "d" * 64
    issue_svid(tmp_path / "short", path, tmp_path, "y", now=NOW)
    assert common_name(tmp_path / "y.pem") == "p" * 64
    assert common_name(tmp_path / "short" / "ca.pem") == f"demo.test root {NOW:%Y-%m-%d}"


def test_directories_are_made_and_private(tmp_path: Path) -> None:
    out = tmp_path / "far" / "below"
    files = issue_svid(tmp_path / "ca", AGENT, out, "a")
    assert files.certificate.parent == out
    assert stat.S_IMODE(out.stat().st_mode) == 0o700


def test_renewed_when_either_file_is_gone(tmp_path: Path) -> None:
    for gone in ("a.pem", "a-key.pem"):
        before = read_key_pair(issue_svid(tmp_path, AGENT, tmp_path, "a").certificate, tmp_path / "a-key.pem")
        (tmp_path / gone).unlink()
        after = issue_svid(tmp_path, AGENT, tmp_path, "a")
        assert read_key_pair(after.certificate, after.key) != before


def test_an_unusable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(MaterialError) as caught:
        issue_svid(tmp_path / "ca", AGENT, tmp_path / "out", "a")
    assert str(caught.value) == f"{tmp_path / 'out'}: File exists"
