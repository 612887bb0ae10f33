"""``x-forwarded-client-cert``: one element, one URI, and no text in any other value that could pass for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.spiffe import parse_spiffe_id
from gateway.protocols.forwarded_cert import MAX_CHARS, ForwardedCertError, forwarded_id

CALLER, VICTIM = "spiffe://a.test/agent/x", "spiffe://a.test/agent/victim"


@pytest.mark.parametrize(
    "value",
    [
        f"URI={CALLER}",
        f"uri={CALLER}",
        f'URI="{CALLER}"',
        f"By=spiffe://a.test/gateway;Hash=ab12;URI={CALLER}",
        f'By=spiffe://a.test/gateway;Hash=ab12;Subject="";URI={CALLER}',
        f'Hash=ab;Cert="-----BEGIN%20CERTIFICATE";Chain="x";Subject="CN=a,O=b;c=\\"d\\"";URI={CALLER};DNS=a.b;DNS=c.d',
        f'Hash=ab;Subject="URI={VICTIM},URI={VICTIM};URI={VICTIM}\\\\";URI={CALLER}',
    ],
)
def test_the_uri_of_the_one_element(value: str) -> None:
    assert forwarded_id(value) == CALLER


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "pairs"),
        ("URI", "pairs"),
        (";", "pairs"),
        (f"URI={CALLER};", "pairs"),
        (f";URI={CALLER}", "pairs"),
        (f" URI={CALLER}", "pairs"),
        (f"URI ={CALLER}", "pairs"),
        ("Hash=ab", "no URI"),
        ("URI=", "no SPIFFE ID"),
        ('URI=""', "no SPIFFE ID"),
        ("URI=https://a.test/x", "no SPIFFE ID"),
        ("URI=spiffe://a.test", "no SPIFFE ID"),
        ("URI=spiffe://A.test/x", "no SPIFFE ID"),
        ("URI=spiffe://a.test/x/../y", "no SPIFFE ID"),
        ("URI=spiffe://a.test/%78", "no SPIFFE ID"),
        (f"URI= {CALLER}", "no SPIFFE ID"),
        (f"URI={CALLER} ", "no SPIFFE ID"),
        (f"URI={CALLER},URI={CALLER}", "more than one element"),
        (f"URI={CALLER},", "more than one element"),
        (f",URI={CALLER}", "pairs"),
        (f"By=spiffe://a.test/p;URI={VICTIM},By=spiffe://a.test/p;URI={CALLER}", "more than one element"),
        (f"URI={CALLER};URI={VICTIM}", "twice"),
        (f"URI={CALLER};uri={CALLER}", "twice"),
        (f"Hash=a;Hash=b;URI={CALLER}", "twice"),
        (f"Evil=1;URI={CALLER}", "unknown"),
        (f"ÜRI={CALLER}", "pairs"),
        (f'Subject="URI={CALLER}', "does not end"),
        (f'Subject="a\\";URI={CALLER}', "does not end"),
        (f'Subject="a"b;URI={CALLER}', "follows"),
        (f'Subject="a""b";URI={CALLER}', "follows"),
        (f'Subject=a"b";URI={CALLER}', "needs quotes"),
        (f"Subject=CN=a;URI={CALLER}", "needs quotes"),
        # What a certificate without a URI could do with a DNS name, which Envoy writes unquoted and last.
        (f"Hash=a;DNS=x;URI={VICTIM}", "after a DNS name"),
        (f"Hash=a;DNS=x,By=y;URI={VICTIM}", "more than one element"),
        (f"URI={CALLER};DNS=x;URI={VICTIM}", "twice"),
        (f"Cert={'a' * MAX_CHARS};URI={CALLER}", "longer"),
    ],
)
def test_anything_else_names_nobody(value: str, why: str) -> None:
    with pytest.raises(ForwardedCertError, match=why):
        forwarded_id(value)


def quoted(text: str) -> str:
    """As Envoy writes values that it quotes: a certificate's own quotes and backslashes are escaped."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(subject=st.text(alphabet=st.sampled_from('aA=;,"\\ :/URI')), chain=st.text(max_size=20))
def test_no_quoted_value_changes_who_is_named(subject: str, chain: str) -> None:
    value = f"Hash=00;Chain={quoted(chain)};Subject={quoted(f'URI={VICTIM}' + subject)};URI={CALLER}"
    assert forwarded_id(value) == CALLER


@given(dns=st.text(alphabet=st.sampled_from('aA=;,"\\ .URI')) | st.just(f";URI={VICTIM}"))
def test_no_dns_name_changes_who_is_named(dns: str) -> None:
    """Neither beside the caller's URI, nor where the certificate has none."""
    for value in (f"Hash=00;URI={CALLER};DNS={dns}", f"Hash=00;DNS={dns}", f"Hash=00;URI=;DNS={dns}"):
        try:
            found = forwarded_id(value)
        except ForwardedCertError:
            continue
        assert found == CALLER


@given(st.text() | st.lists(st.sampled_from(['"', "\\", ";", ",", "=", "URI", "By", "DNS", CALLER, "x"])).map("".join))
def test_any_text_names_a_workload_or_nobody(value: str) -> None:
    try:
        found = forwarded_id(value)
    except ForwardedCertError as error:
        assert "URI=" not in str(error)
        return
    assert parse_spiffe_id(found) == found
    assert value.lower().count("uri=") >= 1
