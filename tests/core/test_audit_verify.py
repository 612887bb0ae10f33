"""The chain: whatever is changed before the last checkpoint that the auditor holds is found."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.audit import (
    CheckpointRecord,
    Head,
    Row,
    Sealed,
    Signer,
    begin,
    checkpoint,
    encode,
    extend,
    link,
    signed_bytes,
    verify,
)
from gateway.core.audit.chain import ORIGIN
from tests.store.samples import NOW, decision


def _sign(message: bytes) -> bytes:
    return hashlib.sha256(b"secret" + message).digest()


SIGNER = Signer("k1", _sign)
KEYS: Mapping[str, Any] = {"k1": lambda message, signature: _sign(message) == signature}


class Log:
    """Boots of one log, written as a store writes them; a checkpoint after every ``every`` records."""

    def __init__(self, every: int = 3) -> None:
        self.every = every
        self.rows: list[Row] = []
        self.exported: list[CheckpointRecord] = []
        self.head: Head | None = None

    def boot(self, writer: str, records: int) -> None:
        self._store(begin(writer, NOW, self.head))
        for number in range(records):
            self._store(extend(self.last, decision(number)))
            if number % self.every == self.every - 1:
                self.sign()

    def sign(self) -> None:
        record = checkpoint(self.last, (), NOW, SIGNER)
        self.exported.append(record)
        self._store(extend(self.last, record))

    @property
    def last(self) -> Head:
        assert self.head is not None
        return self.head

    def _store(self, sealed: Sealed) -> None:
        self.head = sealed.head
        self.rows.append(Row(sealed.record.writer, sealed.record.seq, sealed.payload, sealed.link))


def relinked(rows: Sequence[Row]) -> list[Row]:
    """What a forger without a key makes of changed rows: places and links that fit again."""
    done: list[Row] = []
    previous: dict[str, tuple[int, bytes]] = {}
    for row in rows:
        seq, before = previous.get(row.writer, (-1, ORIGIN))
        after = link(before, row.payload)
        previous[row.writer] = seq + 1, after
        done.append(Row(row.writer, seq + 1, row.payload, after))
    return done


def two_boots() -> Log:
    log = Log()
    log.boot("gw/0/a", 7)
    log.boot("gw/0/b", 5)
    return log


def test_an_untouched_log_verifies_and_says_what_lies_beyond() -> None:
    log = two_boots()
    report = verify(log.rows, log.exported, KEYS)
    assert report.ok
    assert (report.records, report.writers, report.checkpoints) == (len(log.rows), 2, 2 * len(log.exported))
    # Boot a is covered to its end by the signed boot b that names it; b's last checkpoint and two more aren't.
    assert [(part.writer, part.first, part.count) for part in report.beyond] == [("gw/0/b", 4, 3)]


def test_without_keys_nothing_is_proven() -> None:
    log = two_boots()
    report = verify(log.rows)
    assert report.ok
    assert (report.checkpoints, report.unverified) == (0, len(log.exported))
    assert sum(part.count for part in report.beyond) == len(log.rows)


def test_an_empty_log_verifies() -> None:
    assert verify((), (), KEYS).ok


@given(st.data())
def test_a_change_is_found_at_its_first_record(data: st.DataObject) -> None:
    log = two_boots()
    rows = list(log.rows)
    at = data.draw(st.integers(0, len(rows) - 1))
    flip = data.draw(st.integers(0, len(rows[at].payload) * 8 - 1))
    payload = bytearray(rows[at].payload)
    payload[flip // 8] ^= 1 << flip % 8
    rows[at] = replace(rows[at], payload=bytes(payload))
    fault = verify(rows, log.exported, KEYS).fault
    assert fault is not None
    assert (fault.writer, fault.seq) == (rows[at].writer, rows[at].seq)


@given(st.data())
def test_no_forger_without_a_key_can_rewrite_what_a_held_checkpoint_covers(data: st.DataObject) -> None:
    log = two_boots()
    covered = max(index for index, row in enumerate(log.rows) if _covers(log.exported, row))
    at = data.draw(st.integers(0, covered))
    kind = data.draw(st.sampled_from(["edit", "delete", "insert", "swap", "repeat"]))
    rows = list(log.rows)
    if kind == "edit":
        rows[at] = replace(rows[at], payload=encode(replace(decision(99), writer=rows[at].writer, seq=rows[at].seq)))
    elif kind == "delete":
        del rows[at]
    elif kind == "insert":
        rows.insert(at, replace(rows[at], payload=encode(decision(99, writer=rows[at].writer, seq=rows[at].seq))))
    elif kind == "repeat":
        rows.insert(at, rows[at])
    else:
        other = data.draw(st.integers(0, covered).filter(lambda index: index != at))
        rows[at], rows[other] = rows[other], rows[at]
    forged = relinked(rows) if data.draw(st.booleans()) else rows
    # The order between writers says nothing; their genesis records do.
    assume(_by_writer(rows) != _by_writer(log.rows))
    # The stored checkpoints may go as well; the held ones stay.
    assert verify(forged, log.exported, KEYS).fault is not None


@given(st.integers(0, 14), st.booleans())
def test_cutting_off_the_end_shows_unless_no_checkpoint_covers_it(kept: int, held: bool) -> None:
    log = two_boots()
    report = verify(log.rows[:kept], log.exported if held else (), KEYS)
    if held and any(not _stored(log.rows[:kept], head) for record in log.exported for head in record.heads):
        assert report.fault is not None
        assert "missing" in report.fault.why
    elif report.ok:
        beyond = sum(part.count for part in report.beyond)
        assert kept == 0 or (report.checkpoints and beyond < kept)


def test_cutting_off_what_lies_beyond_is_reported_as_such() -> None:
    log = two_boots()
    report = verify(log.rows[:-2], log.exported, KEYS)
    assert report.ok
    assert [(part.first, part.count) for part in report.beyond] == [(4, 1)]


def test_removing_a_whole_boot_is_found_by_its_successor() -> None:
    log = two_boots()
    rest = [row for row in log.rows if row.writer == "gw/0/b"]
    fault = verify(rest, (), KEYS).fault
    assert fault is not None
    assert (fault.writer, fault.seq) == ("gw/0/a", 0)
    assert "the genesis of gw/0/b" in fault.why


def test_records_added_to_a_finished_boot_are_found() -> None:
    log = Log()
    log.boot("gw/0/a", 3)
    end = log.last
    log.boot("gw/0/b", 3)
    late = extend(end, decision(9))
    rows = [*log.rows, Row("gw/0/a", late.record.seq, late.payload, late.link)]
    fault = verify(rows, log.exported, KEYS).fault
    assert fault is not None
    assert (fault.writer, fault.seq) == ("gw/0/a", end.seq + 1)


def test_taking_out_all_checkpoints_is_found_where_a_key_is_given() -> None:
    log = Log()
    log.boot("gw/0/a", 7)
    bare = Log(every=1000)
    bare.boot("gw/0/a", 7)
    fault = verify(bare.rows, (), KEYS).fault
    assert fault is not None
    assert "no checkpoint" in fault.why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"key_id": "k2"}, "no key k2"),
        ({"signature": "00"}, "signature"),
        ({"signature": "no hex"}, "signature"),
        ({"at": 1}, "signature"),
        ({"heads": (Head("gw/0/a", 0, "00" * 32),)}, "signature"),
    ],
)
def test_a_forged_checkpoint_is_found(change: Mapping[str, Any], why: str) -> None:
    log = two_boots()
    fault = verify(log.rows, [replace(log.exported[0], **change)], KEYS).fault
    assert fault is not None
    assert why in fault.why


def test_a_checkpoint_names_its_own_head_first_then_all_others() -> None:
    others = (Head("gw/2/z", 5, "22" * 32), Head("gw/1/y", 4, "11" * 32))
    record = checkpoint(Head("gw/9/x", 7, "99" * 32), others, NOW, SIGNER)
    assert [head.writer for head in record.heads] == ["gw/9/x", "gw/1/y", "gw/2/z"]
    assert _sign(signed_bytes(record)).hex() == record.signature


def test_a_chain_of_its_own_begins_with_its_genesis() -> None:
    log = Log()
    log.boot("gw/0/a", 2)
    headless = relinked(log.rows[1:])
    fault = verify(headless).fault
    assert fault is not None
    assert fault.seq == 0


def _by_writer(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    return {writer: [row for row in rows if row.writer == writer] for writer in {row.writer for row in rows}}


def _covers(exported: Sequence[CheckpointRecord], row: Row) -> bool:
    return any(head.writer == row.writer and head.seq >= row.seq for record in exported for head in record.heads)


def _stored(rows: Sequence[Row], head: Head) -> bool:
    return any((row.writer, row.seq) == (head.writer, head.seq) for row in rows)
