"""What every leg carries: one MCP tool call of 0.9 KB, and its answer of 1 KB."""

import json

TOOL = "lookup"
VERSION = "2026-07-28"
REQUEST_SIZE = 900
ANSWER_TEXT = b"a" * 940
"""What every right answer contains, however a gateway spells the JSON around it; with it, about 1 KB."""


def request_body() -> bytes:
    """A `tools/call` of the current MCP revision with one long string argument."""
    empty = call("")
    return call("q" * (REQUEST_SIZE - len(empty)))


def call(question: str) -> bytes:
    """The call with this argument."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": TOOL, "arguments": {"question": question}, "_meta": meta}
    return encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def answer_body() -> bytes:
    """The tool's result; its id is that of every request."""
    return result(ANSWER_TEXT.decode())


def result(text: str) -> bytes:
    """A result with this one text."""
    content = [{"type": "text", "text": text}]
    return encode({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", "content": content}})


def encode(message: object) -> bytes:
    """Compact JSON."""
    return json.dumps(message, separators=(",", ":")).encode()


def request(path: str, host: str, token: str | None) -> bytes:
    """The whole HTTP/1.1 request, sent again and again on each connection."""
    body = request_body()
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"MCP-Protocol-Version: {VERSION}",
        "Mcp-Method: tools/call",
        f"Mcp-Name: {TOOL}",
        f"Content-Length: {len(body)}",
    ]
    if token is not None:
        head.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*head, "", ""]).encode() + body


def answer() -> bytes:
    """The whole HTTP/1.1 answer of the upstream."""
    body = answer_body()
    head = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body
