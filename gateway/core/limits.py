"""Explicit limits of a hop: sizes in bytes, times in seconds. Defaults are safe; configuration overrides them."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Every bound the data path enforces."""

    header_bytes: int = 16 * 1024
    body_bytes: int = 4 * 1024 * 1024
    body_seconds: float = 15.0
    json_depth: int = 64
    json_integer_digits: int = 19
    tool_name_chars: int = 128
    token_bytes: int = 8 * 1024
    token_request_bytes: int = 32 * 1024
    answer_bytes: int = 16 * 1024 * 1024
    event_bytes: int = 1024 * 1024
    connect_seconds: float = 5.0
    answer_seconds: float = 60.0
    idle_stream_seconds: float = 300.0
    streams_per_agent: int = 200
    session_seconds: int = 86_400
    task_seconds: int = 604_800
    graceful_stop_seconds: float = 20.0
    max_depth: int = 8
    access_ttl_seconds: int = 120
    exchange_ttl_seconds: int = 300
    minted_kept: int = 10_000
    minted_margin_seconds: int = 60
    root_ttl_seconds: int = 900
    decisions_kept: int = 5_000
    decide_again_seconds: float = 10.0
