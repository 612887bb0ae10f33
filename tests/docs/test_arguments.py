"""``docs/ARGUMENTS.md``: its policy is loaded, and each command is answered as printed."""

import shlex
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from tests.company import Company
from tests.docs.pages import files, is_as_printed, steps

PAGE = (Path(__file__).parents[2] / "docs" / "ARGUMENTS.md").read_text()


def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    company = Company(tmp_path)
    company.policies["platform/pay.cedar"] = files(PAGE)["policies/platform/pay.cedar"]
    schema = company.registry["servers"]["ledger"]["tools"]["pay"]["input_schema"]
    schema["properties"]["currency"] = {"type": "string", "default": "EUR"}
    company.write()
    told = list(steps(PAGE))
    assert len(told) == 3
    for command, expected in told:
        with chdir(company.directory):
            found = CliRunner().invoke(main, shlex.split(command)[1:], env={"HOPGATE_CONFIG": str(company.config)})
        assert is_as_printed(expected, found.output), f"$ {command}\n{found.output}"
