"""``hopgate audit show --follow``: one chain from the logs of several gateways.

Reads the stores that ``--with`` names and those that the settings know of peers, each as far as it can be read. What
couldn't be is said, never passed over. Doesn't join the records: ``core.audit.tree`` does, by digests of tokens alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from gateway.config.federation_settings import PeerSettings
from gateway.core.audit import AnyRecord, DecisionRecord, RefusedRecord
from gateway.core.errors import StoreError
from gateway.store.query import AuditReader


class Followed(Struct, frozen=True):
    """The records of all logs, and a line for each log that is missing."""

    records: tuple[AnyRecord, ...]
    missing: tuple[str, ...]


def follow(key: str, found: Sequence[AnyRecord], stores: Iterable[str], peers: Mapping[str, PeerSettings]) -> Followed:
    """``found`` for ``key`` in the first log, with what other logs hold of the same chains.

    ``stores`` are URLs of further logs, ``peers`` the configured peer gateways by name, some with a log of their own.
    """
    logs = {url: f"--with {url}" for url in stores}
    logs |= {peer.audit: f"peer {name}" for name, peer in peers.items() if peer.audit is not None}
    records = {(record.writer, record.seq): record for record in found}
    missing: dict[str, str] = {}
    for url in logs:
        try:
            reader = AuditReader(url)
            for txn in sorted(_txns(found) or {key}):
                records |= {(record.writer, record.seq): record for record in reader.chain(txn)}
        except (StoreError, ValueError) as error:
            missing[url] = f"{logs[url]}: {error.detail if isinstance(error, StoreError) else error}"
    unread = tuple(_unread(records.values(), peers))
    return Followed(tuple(records.values()), (*missing.values(), *unread))


def gateways(records: Iterable[AnyRecord]) -> frozenset[str]:
    """SPIFFE IDs of the peer gateways that the chains came from and went to."""
    found: set[str | None] = set()
    for record in records:
        if isinstance(record, DecisionRecord):
            found |= {record.chain.via, None if record.minted is None else record.minted.gateway}
    return frozenset(each for each in found if each is not None)


def _unread(records: Iterable[AnyRecord], peers: Mapping[str, PeerSettings]) -> Iterator[str]:
    names = {peer.spiffe_id: name for name, peer in peers.items()}
    for gateway in sorted(gateways(records)):
        name = names.get(gateway)
        if name is not None and peers[name].audit is None:
            yield f"peer {name} ({gateway}): set federation.peers.{name}.audit, or give --with its store URL"


def _txns(records: Iterable[AnyRecord]) -> frozenset[str]:
    found = {record.chain.txn for record in records if isinstance(record, DecisionRecord)}
    found |= {record.txn for record in records if isinstance(record, RefusedRecord) and record.txn is not None}
    return frozenset(found)
