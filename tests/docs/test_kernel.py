"""``docs/KERNEL.md``: its policies and its registry, compiled, with the answer as printed."""

import shlex
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner
from ruamel.yaml import YAML

from gateway.cli import main
from gateway.core.kernel import rules
from tests.company import Company
from tests.docs.pages import files, is_as_printed, steps

PAGE = (Path(__file__).parents[2] / "docs" / "KERNEL.md").read_text()


def test_the_report_is_as_printed(tmp_path: Path) -> None:
    company = Company(tmp_path)
    written = files(PAGE)
    company.registry |= YAML(typ="safe").load(written["registry.yaml"])
    for name in ("analyst", "auditor"):
        company.registry["agents"][name]["classes"] = ["data-analyst"]
    company.policies["kernel/analysts.cedar"] = written["policies/kernel/analysts.cedar"]
    company.write()
    ((command, expected),) = steps(PAGE)
    with chdir(company.directory):
        found = CliRunner().invoke(main, shlex.split(command)[1:], env={"HOPGATE_CONFIG": str(company.config)})
    assert found.exit_code == 0, found.output
    assert is_as_printed(expected, found.output), found.output


def test_the_limits_are_those_of_the_code() -> None:
    told = (rules.MAX_STATES, rules.MAX_TRANSITIONS, rules.MAX_ANCHORS, rules.MAX_RULES)
    assert all(f"{limit:,} " in PAGE for limit in told)
    assert f"{rules.MAX_PORTS} pairs" in PAGE
    assert f"{rules.MAX_CLASSES} classes a node" in PAGE
