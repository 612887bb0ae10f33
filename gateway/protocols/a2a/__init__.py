"""A2A 1.0, JSON-RPC binding."""

from gateway.protocols.a2a.answers import classify, encode, filter_listing
from gateway.protocols.a2a.card import rewrite_card
from gateway.protocols.a2a.ids import Ids, named_ids, task_ids
from gateway.protocols.a2a.methods import CARD_METHOD, CARRIED, SERVED
from gateway.protocols.a2a.parse import parse
from gateway.protocols.a2a.refuse import refuse

__all__ = [
    "CARD_METHOD",
    "CARRIED",
    "SERVED",
    "Ids",
    "classify",
    "encode",
    "filter_listing",
    "named_ids",
    "parse",
    "refuse",
    "rewrite_card",
    "task_ids",
]
