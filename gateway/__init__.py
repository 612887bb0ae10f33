"""Hopgate: the L7 authorizing reverse proxy for AI-agent traffic."""

__version__ = "0.1.0"
