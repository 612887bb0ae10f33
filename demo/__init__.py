"""The demo: a small company whose agents and tools reach each other only through the gateway."""
