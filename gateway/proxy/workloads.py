"""An agent on the public listener that proves itself by a JWT-SVID, on a route that takes one.

The token travels in a header of its own, since ``Authorization`` is the user's; it is never forwarded. On the data
listener, and on other routes, the header means nothing. Doesn't verify (``identity.jwt_svid``).
"""

import msgspec

from gateway.core.model import Route
from gateway.proxy.exchange import WORKLOAD_TOKEN, Exchange
from gateway.proxy.gate import Gate, Passage


async def proven(gate: Gate, passage: Passage, route: Route) -> Exchange:
    """The exchange with the workload that its JWT-SVID proves; as it is where there is none to look at.

    Raises:
        HopError: WORKLOAD_TOKEN, WORKLOAD_TOKEN_SPENT.
        StoreError: it can't be told whether it was presented before.
    """
    exchange, token = passage.exchange, passage.headers.get(WORKLOAD_TOKEN)
    if token is None or not route.jwt_svid or gate.jwt_svids is None or exchange.listener != "public":
        return exchange
    now = passage.at // 1000
    svid = gate.jwt_svids.verify(token, route.resource, now)
    # From here on it is known who calls: what follows is recorded.
    passage.exchange = msgspec.structs.replace(exchange, peer=svid.peer)
    await gate.jwt_svids.spend(svid, now)
    return passage.exchange
