"""The JSON Schema of the records, for whoever reads an exported log: ``schemas/audit.schema.json``."""

from typing import Any

import msgspec

from gateway.core.audit.record import AnyRecord


def document() -> dict[str, Any]:
    """JSON Schema 2020-12 of one record of any kind."""
    (schema,), components = msgspec.json.schema_components([AnyRecord], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hopgate audit record",
        "description": "One entry of the audit log, stored as its RFC 8785 bytes.",
        **schema,
        "$defs": components,
    }
