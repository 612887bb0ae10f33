"""``schemas/openapi.json``: valid schemas, and every answer of the API is as it says."""

import json
from typing import Any

import jsonschema

from gateway.admin.api import ENDPOINTS
from gateway.admin.openapi import document
from tests.admin.conftest import ANALYST, ROOT, Desk

DOCUMENT = json.loads((ROOT / "schemas/openapi.json").read_text())


def validator(schema: Any) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def test_every_endpoint_is_in_it_with_schemas_of_its_own() -> None:
    found = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert found == {(each.method, each.path) for each in ENDPOINTS}
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    # Two types of one name would be told apart by their modules.
    assert not [name for name in DOCUMENT["components"]["schemas"] if "." in name]
    assert json.loads(json.dumps(document(ENDPOINTS))) == DOCUMENT


async def test_answers_are_as_it_says(desk: Desk) -> None:
    async with desk.person("operator") as http:
        for method, path, body in (
            ("post", "/api/v1/revocations", ANALYST),
            ("get", "/api/v1/revocations", None),
            ("get", "/api/v1/decisions", None),
        ):
            answer = await http.request(method.upper(), path, json=body)
            said = DOCUMENT["paths"][path][method]["responses"][str(answer.status_code)]
            validator(said["content"]["application/json"]["schema"]).validate(answer.json())
        refused = await http.post("/api/v1/revocations", json={})
        validator(DOCUMENT["components"]["schemas"]["Problem"]).validate(refused.json())


async def test_what_it_refuses_the_api_refuses(desk: Desk) -> None:
    schema = validator(
        DOCUMENT["paths"]["/api/v1/revocations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    )
    async with desk.person("operator") as http:
        for body in (
            ANALYST,
            {},
            ANALYST | {"more": 1},
            ANALYST | {"for_seconds": 0},
            ANALYST | {"target": {"kind": "x"}},
        ):
            answer = await http.post("/api/v1/revocations", json=body)
            assert schema.is_valid(body) == (answer.status_code == 201), body
