"""SPIFFE IDs of workloads (SPIFFE-ID §2, and nothing laxer): one rule for configuration, tokens and peers."""

from gateway.core.model import SpiffeId

SCHEME = "spiffe://"
MAX_ID_BYTES = 2048
MAX_TRUST_DOMAIN_CHARS = 255

_DOMAIN_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")
_PATH_CHARS = _DOMAIN_CHARS | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def parse_spiffe_id(text: str) -> SpiffeId:
    """Check that ``text`` is the SPIFFE ID of a workload.

    Lowercase scheme and trust domain, a non-root path; no port, user, query, fragment or percent sign,
    no empty, ``.`` or ``..`` segment, no trailing slash; at most 2048 bytes.

    Raises:
        ValueError: the rule that was broken.
    """
    if len(text) > MAX_ID_BYTES:
        raise ValueError(f"a SPIFFE ID has at most {MAX_ID_BYTES} bytes")
    if not text.startswith(SCHEME):
        raise ValueError("a SPIFFE ID begins with spiffe:// in lower case")
    domain, slash, path = text.removeprefix(SCHEME).partition("/")
    if not domain or len(domain) > MAX_TRUST_DOMAIN_CHARS or not _DOMAIN_CHARS.issuperset(domain):
        raise ValueError(f"a trust domain is 1 to {MAX_TRUST_DOMAIN_CHARS} of a-z 0-9 . - _: no port, no user")
    if not slash:
        raise ValueError("a workload's SPIFFE ID has a path after its trust domain")
    for segment in path.split("/"):
        if segment in ("", ".", "..") or not _PATH_CHARS.issuperset(segment):
            raise ValueError("each path segment is one or more of A-Z a-z 0-9 . - _, and neither . nor ..")
    return SpiffeId(text)


def trust_domain_of(spiffe_id: SpiffeId) -> str:
    """The trust domain of a parsed SPIFFE ID."""
    return spiffe_id.removeprefix(SCHEME).partition("/")[0]
