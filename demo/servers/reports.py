"""The platform team's report shelf as an MCP server, stateless and with plain JSON answers."""

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from demo.workload import from_arguments, serve


class Report(BaseModel):
    """A published report; ``number`` counts from 1."""

    number: int
    title: str
    body: str


def build() -> MCPServer:
    """The server, with a shelf of its own."""
    server = MCPServer("reports", instructions="A shelf of short reports.")
    shelf: list[Report] = []

    @server.tool(description="Put a report on the shelf.")
    def publish_report(title: str, body: str) -> Report:
        report = Report(number=len(shelf) + 1, title=title, body=body)
        shelf.append(report)
        return report

    @server.tool(description="Read a report by its number.")
    def read_report(number: int) -> Report:
        if not 1 <= number <= len(shelf):
            raise ToolError(f"no report {number}; the shelf holds {len(shelf)}")
        return shelf[number - 1]

    return server


def main() -> None:
    """Serve without sessions."""
    serve(from_arguments("reports"), build().streamable_http_app(json_response=True, stateless_http=True))


if __name__ == "__main__":
    main()
