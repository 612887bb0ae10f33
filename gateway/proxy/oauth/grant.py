"""What a grant of the token endpoint is. Each is a file of its own; ``endpoint`` has the table."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from gateway.core.model import Peer
from gateway.protocols.token_request import ErrorCode, TokenRequest
from gateway.proxy.gate import Gate, Passage


class Issued(Struct, frozen=True):
    """A token and what its answer says of it (RFC 6749 §5.1, RFC 8693 §2.2.1). ``access_token`` is a secret."""

    access_token: str
    expires_in: int
    """Seconds."""
    scope: frozenset[str]
    issued_token_type: str | None = None

    def __repr__(self) -> str:
        return f"Issued(expires_in={self.expires_in})"


class Grant(Struct, frozen=True):
    """One ``grant_type``."""

    issue: Callable[[Gate, Passage, Peer, TokenRequest], Awaitable[Issued]]
    """``(gate, passage, client, request)`` → token. The client is verified by its certificate, and may be anybody:
    whether it is a registered agent is the grant's to check. Commits its record before it returns."""
    action: str
    """What refused requests are recorded as."""
    credential: ErrorCode = "invalid_request"
    """Code for a token or an assertion that isn't taken: RFC 8693 §2.2.2 and RFC 7521 §4.1.1 differ."""
