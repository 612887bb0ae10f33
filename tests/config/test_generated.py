"""The generated files fit the code, and what they show works."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from gateway.config.yaml_source import read_yaml
from gateway.core.reasons import Reason

ROOT = Path(__file__).parents[2]


def schema(name):
    return json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))


def value(text):
    return read_yaml(text, "f.yaml")[0].value


def test_nothing_generated_is_stale():
    result = subprocess.run([sys.executable, ROOT / "scripts/generate.py", "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("name", "file"), [("config", "gateway.yaml"), ("registry", "registry.yaml")])
def test_schemas_accept_what_loads_and_refuse_unknown_keys(folder, name, file):
    validator = jsonschema.Draft202012Validator(schema(name))
    validator.check_schema(schema(name))
    good = value((folder.root / file).read_text(encoding="utf-8"))
    validator.validate(good)
    assert not validator.is_valid(good | {"colour": "red"})


def test_the_schema_refuses_a_literal_secret(folder):
    settings = value((folder.root / "gateway.yaml").read_text(encoding="utf-8"))
    settings["keys"]["sealing"] = "hunter2"
    assert not jsonschema.Draft202012Validator(schema("config")).is_valid(settings)


def test_the_example_of_the_reference_loads(folder):
    text = (ROOT / "docs/CONFIGURATION.md").read_text(encoding="utf-8")
    settings, registry = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    folder.write("gateway.yaml", settings)
    folder.write("registry.yaml", registry)
    assert folder.warnings() == []


def test_every_key_of_the_reference_has_a_meaning():
    rows = re.findall(r"^\| `[^|]*\|.*$", (ROOT / "docs/CONFIGURATION.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 100
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


def test_every_reason_is_in_its_reference():
    text = (ROOT / "docs/REASONS.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| (\d+)", text, re.MULTILINE) == [
        (each.value, str(each.status)) for each in Reason
    ]
