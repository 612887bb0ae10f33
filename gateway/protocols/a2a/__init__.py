"""A2A: 1.0 by JSON-RPC and by HTTP+JSON, 0.3 by JSON-RPC."""

from gateway.protocols.a2a.answers import classify, encode, filter_listing
from gateway.protocols.a2a.card import rewrite_card
from gateway.protocols.a2a.card_0_3 import with_0_3
from gateway.protocols.a2a.decision import with_decision
from gateway.protocols.a2a.http_json import is_http_json
from gateway.protocols.a2a.http_status import bare
from gateway.protocols.a2a.ids import Ids, named_ids, task_ids
from gateway.protocols.a2a.methods import CARD_METHOD, SERVED
from gateway.protocols.a2a.parse import check_http, parse
from gateway.protocols.a2a.push import webhook_of
from gateway.protocols.a2a.refuse import refuse

__all__ = [
    "CARD_METHOD",
    "SERVED",
    "Ids",
    "bare",
    "check_http",
    "classify",
    "encode",
    "filter_listing",
    "is_http_json",
    "named_ids",
    "parse",
    "refuse",
    "rewrite_card",
    "task_ids",
    "webhook_of",
    "with_0_3",
    "with_decision",
]
