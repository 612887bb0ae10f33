"""Which permits came near where nothing permitted a recorded call: for ``hopgate audit show``.

Asks the policies in force, over what was kept of the call and its registry; says what is missing where they can't be
asked. Reads only.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from gateway.config.problems import Problems
from gateway.core.audit import DecisionRecord, Node
from gateway.core.policy.replay import Replay, Undecidable, pieces_of
from gateway.core.reasons import Reason
from gateway.publish import publish
from gateway.store.query import AuditReader


class Near(Struct, frozen=True):
    """What is told of one denial: the nearest permits, or why they can't be told."""

    near_misses: tuple[str, ...] = ()
    unknown: str = ""


def near(roots: Sequence[Node], store: str, config: Path | None) -> Mapping[str, Near]:
    """For each denial of the trees that no policy made, by decision id. ``config`` has the policies.

    Raises:
        StoreError: the log can't be read.
        ValueError: its facts can't.
    """
    denials = [record for record in _records(roots) if _nothing_permitted(record)]
    if not denials:
        return {}
    if config is None:
        return _unknown(denials, "give --config for the policies")
    found = publish(config, os.environ, 0, None)
    if isinstance(found, Problems):
        return _unknown(denials, "the policies of --config don't load; see hopgate check")
    wanted = {digest for record in denials for digest in record.facts}
    kept = ((digest, text) for digest, text in AuditReader(store).facts() if digest in wanted)
    replay = Replay(found.snapshot.bundle, pieces_of(kept))
    return {record.hop: _told(replay.near_misses(record)) for record in denials}


def _told(found: tuple[str, ...] | Undecidable) -> Near:
    if isinstance(found, Undecidable):
        return Near(unknown=found.why)
    return Near(found) if found else Near(unknown="no permit speaks of the action")


def _unknown(denials: Iterable[DecisionRecord], why: str) -> dict[str, Near]:
    return {record.hop: Near(unknown=why) for record in denials}


def _nothing_permitted(record: DecisionRecord) -> bool:
    return record.verdict == "deny" and record.reason is Reason.NO_PERMIT and not record.policies


def _records(nodes: Iterable[Node]) -> Iterator[DecisionRecord]:
    for node in nodes:
        if isinstance(node.record, DecisionRecord):
            yield node.record
        yield from _records(node.children)
