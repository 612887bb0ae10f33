"""MCP over Streamable HTTP, revisions 2025-06-18, 2025-11-25 (legacy) and 2026-07-28 (modern)."""

from gateway.protocols.mcp.answers import classify, filter_listing, graceful_end
from gateway.protocols.mcp.arguments import with_arguments
from gateway.protocols.mcp.decision import with_decision
from gateway.protocols.mcp.elicitation import declares_url
from gateway.protocols.mcp.encode import answer_inbound, encode
from gateway.protocols.mcp.envelope import era_of_headers
from gateway.protocols.mcp.methods import CARRIED, SERVED, era_of, is_standing
from gateway.protocols.mcp.parse import parse
from gateway.protocols.mcp.refuse import refuse
from gateway.protocols.mcp.requests import REQUESTS
from gateway.protocols.mcp.tasks import asks, decided_tasks, made_by_client, may_make, named_tasks, related_task

__all__ = [
    "CARRIED",
    "REQUESTS",
    "SERVED",
    "answer_inbound",
    "asks",
    "classify",
    "decided_tasks",
    "declares_url",
    "encode",
    "era_of",
    "era_of_headers",
    "filter_listing",
    "graceful_end",
    "is_standing",
    "made_by_client",
    "may_make",
    "named_tasks",
    "parse",
    "refuse",
    "related_task",
    "with_arguments",
    "with_decision",
]
