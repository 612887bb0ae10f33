"""``limits``: the bounds of ``core.limits.Limits``, each documented and with the range it may be set in."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.core.limits import Limits

_SAFE = Limits()
_KIB = 1024
_MIB = 1024 * _KIB


class LimitSettings(Limits, Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds."""

    header_bytes: Annotated[
        int, Meta(ge=_KIB, le=64 * _KIB, description="Largest request head: request line and all headers.")
    ] = _SAFE.header_bytes
    body_bytes: Annotated[
        int, Meta(ge=_KIB, le=64 * _MIB, description="Largest request body; larger is refused with 413.")
    ] = _SAFE.body_bytes
    body_seconds: Annotated[
        float, Meta(gt=0, le=300, description="Time for a request body to arrive; slower is refused with 408.")
    ] = _SAFE.body_seconds
    json_depth: Annotated[int, Meta(ge=8, le=128, description="Deepest nesting of a JSON message.")] = _SAFE.json_depth
    json_integer_digits: Annotated[int, Meta(ge=1, le=19, description="Most digits of an integer in a message.")] = (
        _SAFE.json_integer_digits
    )
    tool_name_chars: Annotated[int, Meta(ge=1, le=128, description="Longest tool name in a call.")] = (
        _SAFE.tool_name_chars
    )
    token_bytes: Annotated[int, Meta(ge=512, le=32 * _KIB, description="Largest bearer token.")] = _SAFE.token_bytes
    token_request_bytes: Annotated[
        int, Meta(ge=_KIB, le=256 * _KIB, description="Largest request to the token endpoint.")
    ] = _SAFE.token_request_bytes
    answer_bytes: Annotated[
        int, Meta(ge=_KIB, le=256 * _MIB, description="Largest upstream answer that is one body.")
    ] = _SAFE.answer_bytes
    event_bytes: Annotated[int, Meta(ge=_KIB, le=16 * _MIB, description="Largest single event of a stream.")] = (
        _SAFE.event_bytes
    )
    connect_seconds: Annotated[
        float, Meta(gt=0, le=60, description="Time to connect to an upstream, TLS handshake included.")
    ] = _SAFE.connect_seconds
    answer_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="Time until an upstream's answer begins; later is a 504.")
    ] = _SAFE.answer_seconds
    idle_stream_seconds: Annotated[
        float,
        Meta(gt=0, le=86400, description="Longest silence on a stream, or pause of a client in reading an answer."),
    ] = _SAFE.idle_stream_seconds
    streams_per_agent: Annotated[
        int, Meta(ge=1, le=100_000, description="Streams that one agent, or one user-only client, may hold open.")
    ] = _SAFE.streams_per_agent
    session_seconds: Annotated[
        int, Meta(ge=60, le=31 * 86_400, description="Life of an MCP session; after it the client initializes again.")
    ] = _SAFE.session_seconds
    task_seconds: Annotated[
        int, Meta(ge=60, le=366 * 86_400, description="How long the creator of an A2A task is remembered.")
    ] = _SAFE.task_seconds
    graceful_stop_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="Time for open streams to end after a stop was asked for.")
    ] = _SAFE.graceful_stop_seconds
    max_depth: Annotated[
        int, Meta(ge=1, le=32, description="Most agents in a chain; policies may demand fewer, never more.")
    ] = _SAFE.max_depth
    access_ttl_seconds: Annotated[
        int, Meta(ge=5, le=120, description="Life of a hop token as an access token at its upstream.")
    ] = _SAFE.access_ttl_seconds
    exchange_ttl_seconds: Annotated[
        int, Meta(ge=5, le=300, description="Life of a token of the token endpoint; it ends with its chain at latest.")
    ] = _SAFE.exchange_ttl_seconds
    minted_kept: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Hop tokens for servers that are kept to be sent again while they would say the same; 0: none.",
        ),
    ] = _SAFE.minted_kept
    minted_margin_seconds: Annotated[
        int, Meta(ge=1, le=120, description="Least life of a hop token that is sent again.")
    ] = _SAFE.minted_margin_seconds
    root_ttl_seconds: Annotated[
        int, Meta(ge=30, le=3600, description="Life of a chain: how long hop tokens prove it at the gateway.")
    ] = _SAFE.root_ttl_seconds
    decisions_kept: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Answers of Cedar that are kept for calls that give policies the same facts, and as many more "
            "for staged policies; 0: none.",
        ),
    ] = _SAFE.decisions_kept
    decide_again_seconds: Annotated[
        float,
        Meta(ge=1, le=300, description="How often open streams are decided again that a policy permits by the time."),
    ] = _SAFE.decide_again_seconds

    def faults(self) -> Iterable[Fault]:
        """A hop token may not outlive its chain, and one that is sent again lives for a while."""
        if self.minted_kept and self.minted_margin_seconds >= self.access_ttl_seconds:
            yield Fault(
                ("minted_margin_seconds",),
                f"no hop token of {self.access_ttl_seconds} s is ever sent again",
                "lower it, or set minted_kept: 0",
                "warning",
            )
        if self.access_ttl_seconds > self.root_ttl_seconds:
            yield Fault(
                ("access_ttl_seconds",),
                f"hop tokens would outlive their chain of {self.root_ttl_seconds} s",
                "lower it, or raise root_ttl_seconds",
            )
