"""The admin API in OpenAPI 3.1, from the table of endpoints and the types of its requests and answers."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from gateway.admin.endpoint import Endpoint
from gateway.core.reasons import Reason

PROBLEM = {
    "type": "object",
    "description": "A refusal (RFC 9457).",
    "required": ["type", "title", "status", "reason", "next_step"],
    "properties": {
        "type": {"type": "string", "description": "urn:hopgate:reason:<reason>"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"enum": sorted(Reason)},
        "id": {"type": "string", "description": "Of the request, and of its record where there is one."},
        "path": {"type": "string", "description": "Place of the value that can't be used: $ is the body."},
        "problems": {
            "type": "array",
            "description": "Of policies that can't be used: each with its file and line.",
            "items": {
                "type": "object",
                "required": ["file", "line", "key", "message", "hint", "severity"],
                "properties": {
                    "file": {"type": "string", "description": "Relative to the policies folder; empty for all of it."},
                    "line": {"type": "integer", "description": "From 1; 0 is the whole file."},
                    "key": {"type": "string", "description": "Id of the policy, or name of the test."},
                    "message": {"type": "string"},
                    "hint": {"type": "string"},
                    "severity": {"enum": ["error", "warning"]},
                },
            },
        },
        "next_step": {"type": "string"},
    },
}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    types = [kind for each in endpoints for kind in (each.query, each.body, each.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    known = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, known, components)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hopgate admin API",
            "version": "1",
            "description": "People by an OIDC bearer token, automation by its X.509-SVID; who may what is Cedar's "
            "to say, by policies/admin/.",
        },
        "security": [{"person": []}, {"automation": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "person": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "automation": {"type": "mutualTLS"},
            },
            "schemas": {**components, "Problem": PROBLEM},
            "responses": {
                "Problem": {
                    "description": "A refusal.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _operation(endpoint: Endpoint, known: dict[type, Any], components: dict[str, Any]) -> dict[str, Any]:
    parameters = [*_names(endpoint), *_query(known[endpoint.query], components), *_headers(endpoint)]
    answer: dict[str, Any] = {"description": endpoint.summary}
    if endpoint.answer is not None:
        answer["content"] = {"application/json": {"schema": known[endpoint.answer]}}
    answers = {str(status): answer for status in (endpoint.status, endpoint.tried) if status is not None}
    found: dict[str, Any] = {
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": {**answers, "default": {"$ref": "#/components/responses/Problem"}},
    }
    if endpoint.body is not None:
        content = {"application/json": {"schema": known[endpoint.body]}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _names(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for part in endpoint.path.split("/"):
        if part.startswith("{"):
            yield {"name": part.strip("{}"), "in": "path", "required": True, "schema": {"type": "string"}}


def _query(schema: dict[str, Any], components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    fields = components[schema["$ref"].rpartition("/")[2]]
    for name, field in fields["properties"].items():
        yield {"name": name, "in": "query", "required": name in fields.get("required", ()), "schema": field}


def _headers(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name, meaning in endpoint.headers.items():
        yield {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}
