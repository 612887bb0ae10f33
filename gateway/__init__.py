"""Hopgate: the L7 authorizing reverse proxy for AI-agent traffic."""
