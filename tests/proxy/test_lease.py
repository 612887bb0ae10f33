"""How long a stream may go on: to whatever ends first."""

import msgspec
import pytest

from gateway.core.model import Peer, SpiffeId
from gateway.proxy.lease import Lease
from tests.core.test_delegation import NOW, agent, begun, hop_to, root


@pytest.mark.parametrize(
    ("until", "not_after", "ends"),
    [(None, None, 600), (300, None, 300), (None, 100, 100), (300, 100, 100), (300, 400, 300), (900, 900, 600)],
)
def test_the_earliest_end_counts(until: int | None, not_after: int | None, ends: int) -> None:
    chain = begun(agent("a", entry_point=True, clients=("cli",)), root())
    chain = msgspec.structs.replace(chain, until=None if until is None else NOW + until)
    peer = None if not_after is None else Peer(SpiffeId("spiffe://td.test/a"), "td.test", "x", NOW + not_after)
    hop = msgspec.structs.replace(hop_to(chain, "b"), peer=peer)
    assert Lease(hop, lambda: None, lambda: True).until == NOW + ends
