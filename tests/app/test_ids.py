"""Ids are 32 hex digits, begin with their time, and don't repeat."""

import re
import time

from gateway.app.ids import new_id


def test_an_id_begins_with_its_time() -> None:
    before = time.time_ns() // 1_000_000
    found = new_id()
    assert re.fullmatch("[0-9a-f]{32}", found)
    assert before <= int(found[:12], 16) <= time.time_ns() // 1_000_000


def test_ids_of_one_millisecond_differ() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000
