"""``docs/POLICIES.md``: each command as printed, in a company's folder."""

import json
import shlex
import shutil
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from gateway.core.policy.expectations import read_expectations
from tests.company import Company
from tests.docs.pages import is_as_printed, steps

PAGE = (Path(__file__).parents[2] / "docs" / "POLICIES.md").read_text()
SCOPE = 'permit (principal is Agent, action == Action::"delegate", resource is Agent)\nwhen {\n  principal.'


def prepare(company: Company) -> None:
    """The folders that the page speaks of: a misspelt attribute, a test that fails, a lower limit."""
    company.write()
    for name, condition in (("broken", 'risk_levle == "low"'), ("failing", 'risk_level == "high"')):
        folder = company.directory / name / "platform"
        folder.mkdir(parents=True)
        (folder / "a.cedar").write_text(f'@id("a")\n{SCOPE}{condition}\n}};\n')


def failing(company: Company) -> None:
    """The drafted policy's first test, asked of another policy."""
    drafted = (company.directory / "policies/teams/finance/pay-suppliers.tests.json").read_text()
    assert len(read_expectations(drafted)) == 2
    test = json.loads(drafted)[0]
    agent = test["request"]["principal"]
    test |= {"name": "ann is low", "reason": ["a"]}
    test["request"] |= {"action": 'Action::"delegate"', "resource": agent}
    (company.directory / "failing/platform/a.tests.json").write_text(json.dumps([test]))


def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    company = Company(tmp_path)
    prepare(company)
    told = list(steps(PAGE))
    assert len(told) == 8
    for number, (command, expected) in enumerate(told):
        if number == 1:
            failing(company)
            other = company.directory / "other"
            shutil.copytree(company.directory / "policies", other)
            pay = other / "platform/pay.cedar"
            pay.write_text(pay.read_text().replace("1000", "500"))
        with chdir(company.directory):
            found = CliRunner().invoke(main, shlex.split(command)[1:], env={"HOPGATE_CONFIG": str(company.config)})
        assert is_as_printed(expected, found.output), f"$ {command}\n{found.output}"


def test_alternatives_are_told_as_printed(tmp_path: Path) -> None:
    company = Company(tmp_path)
    company.write()
    policy, told = (PAGE.split(f"```{kind}\n")[1].split("```")[0] for kind in ("cedar", "text"))
    (company.directory / "policies/platform/choice.cedar").write_text(policy)
    command = next(command for command, _ in steps(PAGE) if "--agent auditor" in command)
    with chdir(company.directory):
        found = CliRunner().invoke(main, shlex.split(command)[1:], env={"HOPGATE_CONFIG": str(company.config)})
    assert told in found.output
