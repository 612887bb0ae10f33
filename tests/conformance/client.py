"""The client under test in the suite's client scenarios: the official client with the gateway behind it.

A scenario is a server, and what is judged is what it sees of the two.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from mcp.client.context import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult
from pydantic import ValidationError

from tests.company import Company
from tests.conformance.legs import SERVER, admit
from tests.conformance.suite import Verdict, run_client_scenario
from tests.gateways import mcp_client, running

Call = tuple[str, Mapping[str, Any]]
Scenario = tuple[str, str]
"""Revision and name."""
SCENARIOS: Sequence[Scenario] = (
    ("2026-07-28", "request-metadata"),
    ("2026-07-28", "tools_call"),
    ("2026-07-28", "http-standard-headers"),
    ("2026-07-28", "http-custom-headers"),
    ("2026-07-28", "json-schema-ref-no-deref"),
    ("2026-07-28", "http-invalid-tool-headers"),
    ("2026-07-28", "json-schema-2020-12-preservation"),
    ("2026-07-28", "sep-2322-client-request-state"),
    ("2025-11-25", "initialize"),
    ("2025-11-25", "tools_call"),
    ("2025-11-25", "elicitation-sep1034-client-defaults"),
    ("2025-11-25", "sse-retry"),
    ("2025-11-25", "json-schema-2020-12-preservation"),
    ("2025-06-18", "initialize"),
    ("2025-06-18", "tools_call"),
)
INVALID = (
    "invalid_array_header", "invalid_colon_in_name", "invalid_control_char_name", "invalid_duplicate_diff_case",
    "invalid_duplicate_same_case", "invalid_empty_header", "invalid_non_ascii_name", "invalid_null_header",
    "invalid_number_header", "invalid_object_header", "invalid_space_in_name",
)  # fmt: skip
"""Tools that the gateway lists and a client has to leave out."""
HANDOVER = Path(__file__).with_name("handover.py")
ECHO, DESCRIBED = "json_schema_echo", "json_schema_2020_12_tool"
CALLS: Mapping[str, Sequence[Call]] = {
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "http-standard-headers": [("test_headers", {}), ("my-hyphenated-tool", {})],
    "http-invalid-tool-headers": [("valid_tool", {"region": "eu"})],
    "elicitation-sep1034-client-defaults": [("test_client_elicitation_defaults", {})],
    "sse-retry": [("test_reconnection", {})],
    "sep-2322-client-request-state": [
        ("test_mrtr_echo_state", {}),
        ("test_mrtr_unrelated", {}),
        ("test_mrtr_no_state", {}),
        ("test_mrtr_no_result_type", {}),
    ],
}
"""What is called in which scenario; in the others the tools are only listed, or the suite says what to call."""
MIRRORED = {
    "region": "Region", "priority": "Priority", "verbose": "Verbose", "debug": "Debug", "empty_val": "EmptyVal",
    "method_val": "Method", "non_ascii_val": "NonAscii", "whitespace_val": "Whitespace",
    "leading_space_val": "LeadingSpace", "trailing_space_val": "TrailingSpace", "internal_space_val": "InternalSpace",
    "control_char_val": "ControlChar", "crlf_val": "CrLf", "tab_val": "Tab",
}  # fmt: skip
"""Arguments that the suite's tools repeat in headers: what an operator registers of them."""
KINDS = {"priority": "integer", "verbose": "boolean", "debug": "boolean"}


async def measure_clients(folder: Path) -> Mapping[Scenario, Verdict]:
    """What the servers of the scenarios see; ``folder`` keeps what the suite wrote."""
    verdicts = {}
    async with _handed_over() as port:
        command = f"{sys.executable} -IS {HANDOVER} {port}"
        for revision, name in SCENARIOS:
            results = folder / revision / name
            verdicts[revision, name] = await run_client_scenario(name, revision, command, results)
    return verdicts


@asynccontextmanager
async def _handed_over() -> AsyncIterator[int]:
    """Plays the client of whatever scenario is handed over at the port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            told = json.loads(await reader.readline())
            calls = [(call["name"], call["arguments"]) for call in json.loads(told["CONTEXT"]).get("toolCalls", ())]
            await _play(told["URL"], told["PROTOCOL_VERSION"], calls or CALLS.get(told["SCENARIO"], ()))
        finally:
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]


async def _play(url: str, revision: str, calls: Sequence[Call]) -> None:
    """Open, list and call, through a gateway that has the server at ``url`` for its only one."""
    with tempfile.TemporaryDirectory() as folder:
        company = Company(Path(folder))
        names = (ECHO, DESCRIBED, *INVALID, *(name for name, _ in calls))
        admit(company, {"url": url}, {name: _schema(name) for name in names})
        mode = "legacy" if revision < "2026" else "auto"
        asked = {"elicitation_callback": _defaults}
        async with running(company), mcp_client(company, server=SERVER, mode=mode, **asked) as client:
            listed = await client.list_tools()
            for name, arguments in calls:
                # The official client takes no result without its kind, whether or not the gateway is between.
                with suppress(ValidationError):
                    await client.call_tool(name, dict(arguments))
            for tool in listed.tools:
                if tool.name in INVALID:
                    await client.call_tool(tool.name, {})
                if tool.name == DESCRIBED:
                    await client.call_tool(ECHO, {"schema": tool.input_schema})


async def _defaults(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    """A person who takes what is offered, and says yes to the rest."""
    schema = params.model_dump(by_alias=True).get("requestedSchema", {})
    content = {name: field.get("default", True) for name, field in schema.get("properties", {}).items()}
    return ElicitResult(action="accept", content=content)


def _schema(tool: str) -> Mapping[str, Any] | None:
    if tool == "valid_tool":
        return {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    if not tool.startswith("test_custom_headers"):
        return None
    mirrors = {name: {"type": KINDS.get(name, "string"), "x-mcp-header": header} for name, header in MIRRORED.items()}
    return {"type": "object", "properties": mirrors}
