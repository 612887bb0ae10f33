"""Ids of decisions, chains and tokens."""

import secrets
import time


def new_id() -> str:
    """32 hex digits: Unix milliseconds, then 80 random bits, as in UUIDv7. Unique and in order of time; no secret.

    Order keeps indexes of ids growing at their end, where a random id would touch a page of its own.
    """
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
