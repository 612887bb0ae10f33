"""The published JSON Schema is the one of the types."""

import json
from pathlib import Path

from gateway.core.audit.schema import document

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "audit.schema.json"


def test_the_published_schema_is_not_stale() -> None:
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(document()))


def test_every_kind_is_described() -> None:
    kinds = {
        definition["properties"]["kind"]["enum"][0]
        for definition in document()["$defs"].values()
        if "kind" in definition.get("properties", {})
    }
    assert kinds == {
        "genesis",
        "checkpoint",
        "decision",
        "refused",
        "outcome",
        "admin",
        "consent",
        "facts",
        "approval",
        "kernel",
    }
