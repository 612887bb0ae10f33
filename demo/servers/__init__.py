"""The company's MCP servers, on the official MCP SDK. No Hopgate code."""
