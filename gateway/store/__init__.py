"""Durable state: audit, bindings, task owners."""
