"""Starts an agent so that its class's rules hold from its first instruction."""
