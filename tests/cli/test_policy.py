"""``hopgate policy``: what each command says, and its exit status."""

import json
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.company import Company

ROOT = Path(__file__).parents[2]


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path / "company")
    company.registry["agents"]["analyst"]["classes"] = ["data-analyst"]
    return company


class Done:
    """How a command ended."""

    def __init__(self, result: Result) -> None:
        self.returncode, self.stdout, self.stderr = result.exit_code, result.stdout, result.stderr


def policy(company: Company, *arguments: str) -> Done:
    """The command, run in the company's folder, within this process: dozens of them have to be quick."""
    config = company.config if company.config.exists() else company.write()
    with chdir(company.directory):
        return Done(CliRunner().invoke(main, ["policy", *arguments], env={"HOPGATE_CONFIG": str(config)}))


def test_check_is_silent_where_nothing_is_wrong(company: Company) -> None:
    done = policy(company, "check", "--strict")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_shipped_policies_are_strictly_good(company: Company) -> None:
    done = policy(company, "check", "--strict", str(ROOT / "policies"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("config", [(), ("--config", "gateway.yaml")])
def test_the_tests_of_every_shipped_policy_pass(company: Company, config: tuple[str, ...]) -> None:
    company.write()
    with chdir(company.directory):
        done = Done(CliRunner().invoke(main, ["policy", "test", "--every", *config, str(ROOT / "policies")]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_kernel_policy_about_the_gateway_keeps_all_from_loading(company: Company) -> None:
    company.policies["kernel/a.cedar"] = '@id("a") permit (principal, action == Action::"delegate", resource);'
    done = policy(company, "check")
    assert done.returncode == 3
    assert "policies/kernel/a.cedar:1: a: a policy in kernel/ is about actions of the machine only" in done.stderr


def test_check_tells_file_and_line_and_strict_makes_errors_of_warnings(company: Company) -> None:
    company.policies["platform/nameless.cedar"] = "\npermit (principal is User, action, resource);\n"
    lax, strict = policy(company, "check"), policy(company, "check", "--strict")
    assert (lax.returncode, strict.returncode) == (0, 3)
    for done in (lax, strict):
        assert "policies/platform/nameless.cedar:2: platform/nameless#0: warning: the policy has no @id" in done.stderr
    company.policies["platform/nameless.cedar"] = '@id("a")\npermit (principal,\n actoin, resource);'
    company.write()
    done = policy(company, "check", "--format", "json")
    (problem,) = json.loads(done.stdout)
    assert (done.returncode, problem["line"], problem["severity"]) == (3, 3, "error")


def test_explain_by_verdict(company: Company) -> None:
    call = ("explain", "--agent", "analyst", "--user", "corp|maria", "--action", "invokeTool", "--resource")
    done = policy(company, *call, "ledger/read_balance")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:2] == [
        "permit: permitted", "  permit `finance-read` (teams, teams/finance/read.cedar)"
    ]  # fmt: skip
    assert '    principal.risk_level = "low"' in done.stdout
    done = policy(company, *call, "ledger/pay", "--arguments", '{"amount": 2000, "to": "x"}', "--format", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"], told["groups"]) == (2, "ask", ["finance-leads"])


def test_explain_names_near_misses(company: Company) -> None:
    request = company.directory / "request.json"
    company.write()
    request.write_text('{"agent": "auditor", "action": "invokeTool", "resource": "ledger/read_balance"}')
    done = policy(company, "explain", "--request", str(request))
    assert done.returncode == 2
    assert '  permit `finance-read` failed: principal.risk_level is "medium", needs "low"\n' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "--agent", "analyst"), "give --action and --resource"),
        (("explain", "--agent", "anlyst", "--action", "invokeTool", "--resource", "ledger/pay"), 'mean "analyst"'),
        (("explain", "--decision", "x"), "no audit log"),
        (("explain", "--agent", "analyst", "--action", "invokeTool", "--resource", "ledger", "--arguments", "{"), ""),
        (("test", "policies"), "there are no tests"),
        (("new", "--tool", "ledger/pai"), 'did you mean "ledger/pay"'),
        (("new", "--tool", "ledger/pay", "--team", "finanse"), 'did you mean "finance"'),
        (("new", "--tool", "ledger/pay", "--id", "../../x"), "no name for a policy"),
        (("nothing",), "No such command"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_ends_with_1(company: Company, arguments: tuple[str, ...], said: str) -> None:
    done = policy(company, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_new_writes_a_policy_and_tests_that_pass_and_nothing_twice(company: Company) -> None:
    done = policy(company, "new", "--tool", "ledger/pay", "--id", "pay-more")
    written = [Path(line) for line in done.stdout.splitlines()]
    assert (done.returncode, [path.name for path in written]) == (0, ["pay-more.cedar", "pay-more.tests.json"])
    assert policy(company, "check", "--strict").returncode == 0
    assert policy(company, "test", "policies").returncode == 0
    again = policy(company, "new", "--tool", "ledger/pay", "--id", "pay-more")
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    taken = policy(company, "new", "--tool", "ledger/pay", "--id", "no-loops", "--tier", "platform")
    assert taken.returncode != 0
    assert "the id is taken" in taken.stderr
    assert not (company.directory / "policies/platform/no-loops.tests.json").exists()


def test_a_failing_test_says_how_it_differs(company: Company) -> None:
    policy(company, "new", "--tool", "ledger/pay", "--id", "pay-more")
    file = company.directory / "policies/teams/finance/pay-more.cedar"
    file.write_text(file.read_text().replace('"low"', '"high"'))
    done = policy(company, "test", "policies")
    assert (done.returncode, done.stderr) == (1, "1 of 2 failed\n")
    assert done.stdout.splitlines() == [
        "policies/teams/finance/pay-more.tests.json: a low-risk agent calls pay",
        "  decision: expected allow, got deny as no policy applies",
        '  `pay-more` does not hold: principal.risk_level == "high"',
    ]
    results = json.loads(policy(company, "test", "policies", "--format", "json").stdout)
    assert [each["ok"] for each in results] == [False, True]
    assert policy(company, "test", "--every", "policies").returncode == 1


def test_diff_tells_policies_by_id(company: Company) -> None:
    company.write()
    other = company.directory / "other"
    (other / "platform").mkdir(parents=True)
    (other / "platform/pay.cedar").write_text(company.policies["platform/pay.cedar"].replace("1000", "500"))
    done = policy(company, "diff", "policies", "other")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert "removed `finance-read` permit teams/finance/read.cedar:2" in lines
    assert "changed `large-payments` forbid platform/pay.cedar:4" in lines
    assert any(line.startswith("  +") and "> 500" in line for line in lines)
    assert policy(company, "diff", "policies", "policies").stdout == ""


def test_schema_knows_the_arguments_of_registered_tools(company: Company) -> None:
    assert '"pay"?: {"amount": Long' in policy(company, "schema").stdout
    assert "Collection" in policy(company, "schema", "--admin").stdout


COMPILE = ("compile", "--target", "kernel")


def machines(company: Company) -> None:
    company.policies["kernel/a.cedar"] = (ROOT / "policies/kernel/data-analyst.cedar").read_text()


def test_compile_tells_what_reaches_the_kernel(company: Company) -> None:
    machines(company)
    done = policy(company, *COMPILE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("class data-analyst (analyst)\n")
    assert "  as Cedar: every action but systemCall\n" in done.stdout
    assert "stays behind" not in done.stdout
    assert 'kernel/a.cedar:22: analysts-reach-models-and-the-gateway: "gateway.internal" is a name' in done.stdout


def test_compile_as_json_has_the_rules(company: Company) -> None:
    machines(company)
    company.registry["classes"] = {"quarantine": {"audit": True}}
    told = json.loads(policy(company, *COMPILE, "--format", "json").stdout)
    assert [each["name"] for each in told["rules"]] == ["data-analyst", "quarantine"]
    assert [(each["name"], each["agents"], each["audit"]) for each in told["report"]["classes"]] == [
        ("data-analyst", ["analyst"], False),
        ("quarantine", [], True),
    ]
    assert {each["path"] for each in told["rules"][0]["files"]["anchors"]} == {"/etc/shadow", "/root"}
    assert told["digest"].startswith("sha256:")
    one = json.loads(policy(company, *COMPILE, "--class", "quarantine", "--format", "json").stdout)
    assert [each["name"] for each in one["rules"]] == ["quarantine"]
    assert [each["id"] for each in one["report"]["policies"]] == ["nobody-reads-the-machines-secrets"]


def test_compile_fails_as_the_other_commands_do(company: Company) -> None:
    machines(company)
    done = policy(company, *COMPILE, "--class", "data-analist")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'did you mean "data-analyst"' in done.stderr
    assert policy(company, "compile").returncode == 1
    assert policy(company, "compile", "--target", "moon").returncode == 1
    company.policies["kernel/b.cedar"] = '@id("x") permit (principal, action == Action::"readFile", resource.pth);'
    company.write()
    done = policy(company, *COMPILE)
    assert (done.returncode, done.stdout) == (3, "")
    assert "policies/kernel/b.cedar:1" in done.stderr


def test_an_id_is_one_policy_s_over_gateway_and_kernel(company: Company) -> None:
    company.policies["kernel/a.cedar"] = (
        '@id("pay") permit (principal is Agent, action == Action::"readFile", resource);'
    )
    done = policy(company, "check")
    assert done.returncode == 3
    assert "kernel/a.cedar:1: pay: the id is taken by the policy at platform/pay.cedar:2" in done.stderr
