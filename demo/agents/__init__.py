"""The company's agents, on the official A2A and MCP SDKs. No Hopgate code."""
