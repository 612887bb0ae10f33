"""``hopgate audit``: what people see, what scripts read, and what a forged log gets."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.cli import render
from gateway.cli.audit import audit
from gateway.core.audit import CheckpointRecord, RefusedRecord, Workload, decode, encode, outcome_record
from gateway.core.model import Ancestry, Ask, Match, Outcome
from gateway.core.reasons import Reason
from gateway.store.audit_file import AuditFile
from gateway.store.checkpoint_key import load_or_create
from gateway.store.query import AuditReader
from gateway.store.sql import audit_path
from tests.store.samples import NOW, deny, hop, minted, permit, policy, recorded, spiffe


def outcome(id: str, ok: bool, reason: Reason, status: int, duration_ms: int) -> Any:
    return outcome_record(hop(id), Outcome(ok=ok, reason=reason, status=status), duration_ms)


def company_log() -> list[Any]:
    user = recorded(
        permit(hop("h-user", (), at=NOW), policy("users", "permit", Match("user", "corp|maria"))), minted("u")
    )
    planner = recorded(permit(hop("h-plan", parent=digest(user), at=NOW + 10)), minted("p"))
    pair = ("planner", "analyst")
    read = recorded(permit(hop("h-read", pair, parent=digest(planner), at=NOW + 20)), minted("r"))
    pay = deny(
        hop("h-pay", pair, tool="pay", parent=digest(planner), at=NOW + 30), Reason.FORBIDDEN, policy("no", "forbid")
    )
    ask = Ask(hop("h-ask", pair, tool="pay", parent=digest(planner), at=NOW + 40), (), ("finance-leads",), "b", 1)
    thief = RefusedRecord(
        id="h-thief",
        hop="h-thief",
        at=NOW + 50,
        reason=Reason.CHAIN_HOLDER,
        detail="the token's audience is not agent thief's",
        agent=Workload(spiffe_id=spiffe("thief"), x5t="x"),
        route="ledger",
        txn="txn-1",
        parent=digest(planner),
    )
    return [
        user,
        planner,
        read,
        recorded(pay),
        recorded(ask),
        thief,
        outcome("h-user", True, Reason.PERMITTED, 200, 100),
        outcome("h-read", False, Reason.UPSTREAM_TIMEOUT, 504, 60),
    ]


def digest(record: Any) -> str:
    found: str = record.minted.digest
    return found


@pytest.fixture
def store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/hopgate.db"
    file = AuditFile(audit_path(url), "gw/0/a", load_or_create(tmp_path / "key.pem"))
    file.commit(company_log())
    file.close()
    return url


def run(*args: str, **facts: Any) -> Result:
    return CliRunner().invoke(audit, list(args), **facts)


def test_a_chain_is_shown_as_a_tree(store: str) -> None:
    shown = run("show", "txn-1", "--store", store)
    assert shown.exit_code == 0, shown.output
    assert (
        shown.output
        == f"""\
chain txn-1 · for corp|maria · 6 hops · 2027-01-15T08:00:00.000Z · 100 ms
└─ permit corp|maria → Tool::"ledger/read_balance" invokeTool
   │  2027-01-15T08:00:00.000Z · ok 200 in 100 ms · decision h-user
   │  permit by users (teams, teams/finance/users.cedar)
   │    user = "corp|maria"
   └─ permit planner (Maria López, finance) → Tool::"ledger/read_balance" invokeTool
      │  2027-01-15T08:00:00.010Z · no outcome recorded · decision h-plan
      │  permit by finance-read (teams, teams/finance/finance-read.cedar)
      │    principal.risk_level = "low"
      │    context.delegation_depth = 1
      ├─ permit analyst (Maria López, finance) → Tool::"ledger/read_balance" invokeTool
      │     2027-01-15T08:00:00.020Z · upstream_timeout 504 in 60 ms · decision h-read
      │     permit by finance-read (teams, teams/finance/finance-read.cedar)
      │       principal.risk_level = "low"
      │       context.delegation_depth = 1
      ├─ deny analyst (Maria López, finance) → Tool::"ledger/pay" invokeTool
      │     2027-01-15T08:00:00.030Z · not forwarded · decision h-pay
      │     forbidden (no): why not
      │     forbid by no (teams, teams/finance/no.cedar)
      │       principal.risk_level = "low"
      │       context.delegation_depth = 1
      ├─ ask analyst (Maria López, finance) → Tool::"ledger/pay" invokeTool
      │     2027-01-15T08:00:00.040Z · not forwarded · decision h-ask
      │     approval_required
      │     may be lifted by finance-leads
      └─ refused {spiffe("thief")} → ledger
            2027-01-15T08:00:00.050Z · not forwarded · decision h-thief
            chain_holder: the token's audience is not agent thief's
"""
    )


def test_a_decision_shows_its_chain_and_is_marked(store: str) -> None:
    lines = run("show", "h-pay", "--store", store).output.splitlines()
    assert [line for line in lines if line.endswith("◀")] == [
        '      ├─ deny analyst (Maria López, finance) → Tool::"ledger/pay" invokeTool  ◀'
    ]


def test_a_chain_that_may_hide_another_says_so(tmp_path: Path) -> None:
    suspected = hop("h-own", ("analyst",), txn="txn-2")
    live = Ancestry(2, ("txn-1", "txn-0"))
    file = AuditFile(audit_path(f"sqlite:///{tmp_path}/hopgate.db"), "gw/0/a")
    file.commit([recorded(permit(replace(suspected, chain=replace(suspected.chain, live=live))))])
    file.close()
    shown = run("show", "txn-2", "--store", f"sqlite:///{tmp_path}/hopgate.db").output
    assert "begun while working at depth 2: may hide chain txn-1, txn-0" in shown


def test_a_chain_as_json_is_the_same_tree(store: str) -> None:
    (root,) = json.loads(run("show", "txn-1", "--store", store, "--format", "json").output)
    assert (root["record"]["hop"], root["outcome"]["duration_ms"]) == ("h-user", 100)
    (planner,) = root["children"]
    assert [child["record"]["hop"] for child in planner["children"]] == ["h-read", "h-pay", "h-ask", "h-thief"]
    assert planner["record"]["policies"][0]["matched"][0] == {"path": "principal.risk_level", "value": "low"}


def test_colours_are_for_terminals_only(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in run("show", "txn-1", "--store", store).output
    assert "\x1b[32mpermit" in run("show", "txn-1", "--store", store, color=True).output
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("show", "txn-1", "--store", store, color=True).output


def test_an_unknown_chain_is_said_and_fails(store: str) -> None:
    shown = run("show", "nothing", "--store", store)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr == "hopgate audit: no chain, trace or decision nothing\n"


def test_a_table_of_decisions(store: str) -> None:
    lines = run("query", "--store", store, "--verdict", "deny").output.splitlines()
    assert [re.split(r"  +", line) for line in lines] == [
        ["TIME", "VERDICT", "WHO", "ACTION", "RESOURCE", "WHY", "OUTCOME", "DECISION"],
        [
            "2027-01-15T08:00:00.030Z",
            "deny",
            "analyst (Maria López, finance)",
            "invokeTool",
            'Tool::"ledger/pay"',
            "forbidden (no)",
            "-",
            "h-pay",
        ],
    ]


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        (["--resource", 'Tool::"ledger/pay"'], ["h-ask", "h-pay"]),
        (["--resource", "ledger/pay", "--policy", "no"], ["h-pay"]),
        (["--resource", 'Agent::"ledger/pay"'], []),
        (["--agent", "planner"], ["h-plan"]),
        (["--since", "2027-01-15T08:00:00.030Z", "--until", "2027-01-15T09:00:00.050+01:00"], ["h-ask", "h-pay"]),
        (["--since", "2027-01-15T08:00:00.050"], ["h-thief"]),
        (["--txn", "txn-1", "--limit", "1"], ["h-thief"]),
        (["--trace", "0" * 32], []),
    ],
)
def test_filters(store: str, args: list[str], ids: list[str]) -> None:
    found = json.loads(run("query", "--store", store, "--format", "json", *args).stdout)["found"]
    assert [one["record"]["hop"] for one in found] == ids


def test_pages(store: str) -> None:
    first = run("query", "--store", store, "--limit", "4")
    mark = first.stderr.removeprefix("more: --before ").strip()
    second = run("query", "--store", store, "--limit", "4", "--before", mark)
    assert second.stderr == ""
    ids = [line.split()[-1] for line in first.stdout.splitlines()[1:] + second.stdout.splitlines()[1:]]
    assert ids == ["h-thief", "h-ask", "h-pay", "h-read", "h-plan", "h-user"]


def test_nothing_found_prints_nothing(store: str) -> None:
    found = run("query", "--store", store, "--agent", "nobody")
    assert (found.exit_code, found.output) == (0, "")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--since", "yesterday"), ("--since", "5"), ("--since", "²h"), ("--before", "1:2"), ("--limit", "0")],
)
def test_odd_questions_are_refused(store: str, option: str, value: str) -> None:
    assert run("query", "--store", store, option, value).exit_code == 2


def test_a_whole_log_verifies_in_silence_but_for_what_lies_beyond(store: str, tmp_path: Path) -> None:
    done = run("verify", "--store", store, "--checkpoint-key", str(tmp_path / "key.pem.pub"))
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "gw/0/a: 1 record from 10 on lie beyond the last checkpoint\n"


def test_without_a_key_it_says_what_was_not_checked(store: str) -> None:
    done = run("verify", "--store", store)
    assert (done.exit_code, done.stderr) == (0, "links verified, signatures not: give --checkpoint-key\n")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            "UPDATE records SET payload = CAST(replace(payload, 'analyst', 'someone') AS BLOB) WHERE hop = 'h-pay'",
            "bad record 5 of gw/0/a",
        ),
        ("DELETE FROM records WHERE hop = 'h-pay' AND kind = 'decision'", "record 5 of gw/0/a: record 5 is missing"),
        ("UPDATE records SET agent = 'someone' WHERE hop = 'h-pay'", "bad record 5 of gw/0/a: the search columns"),
        ("UPDATE records SET payload = 'x' WHERE seq = 0", "bad record 0 of gw/0/a"),
        ("UPDATE records SET payload = CAST(x'ff' AS TEXT) WHERE seq = 4", "bad record 4 of gw/0/a"),
        ("UPDATE records SET link = 7 WHERE seq = 4", "bad record 4 of gw/0/a"),
        ("UPDATE records SET seq = 'x' WHERE seq = 4", "bad record -1 of gw/0/a"),
    ],
)
def test_a_changed_log_fails_and_names_the_record(store: str, tmp_path: Path, edit: str, said: str) -> None:
    tamper(audit_path(store), edit)
    done = run("verify", "--store", store, "--checkpoint-key", str(tmp_path / "key.pem.pub"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    report = json.loads(run("verify", "--store", store, "--format", "json").stdout)
    assert report["fault"]["writer"] == "gw/0/a"


def test_a_log_cut_short_is_found_by_a_checkpoint_kept_elsewhere(store: str, tmp_path: Path) -> None:
    kept = [record for row in AuditReader(store).rows() if isinstance(record := decode(row.payload), CheckpointRecord)]
    elsewhere = tmp_path / "checkpoints.jsonl"
    elsewhere.write_bytes(b"\n".join(map(encode, kept)))
    key = str(tmp_path / "key.pem.pub")
    tamper(audit_path(store), "DELETE FROM records WHERE seq > 5")
    assert run("verify", "--store", store, "--checkpoint-key", key).exit_code == 0
    done = run("verify", "--store", store, "--checkpoint-key", key, "--checkpoints", str(elsewhere))
    assert done.exit_code == 1
    assert "bad record 6 of gw/0/a: missing: the exported checkpoint gw/0/a#10 names records up to 9" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["query", "--store", "sqlite:///missing.db"], "no audit log at missing.audit.db"),
        (["show", "x", "--store", "redis://x"], "the store URL must be sqlite:///FILE"),
        (["verify", "--store", "{store}", "--checkpoint-key", "{here}/none"], "none: No such file or directory"),
        (["verify", "--store", "{store}", "--checkpoint-key", "{here}/hopgate.audit.db"], "holds no public key"),
        (["verify", "--store", "{store}", "--checkpoints", "{here}/key.pem"], "key.pem:1: not a checkpoint record"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_2(store: str, tmp_path: Path, args: list[str], said: str) -> None:
    done = run(*(each.format(store=store, here=tmp_path) for each in args))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("hopgate audit: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@given(st.text())
def test_no_record_can_command_a_terminal(text: str) -> None:
    assert render.printable(text).isprintable()


def test_hostile_texts_are_written_as_escapes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hopgate.db"
    file = AuditFile(audit_path(url), "gw/0/a")
    odd = "\x1b]0;owned\x07\u202e\nfake"
    match = Match(odd, odd)
    file.commit([recorded(deny(hop("h", arguments={}), Reason.FORBIDDEN, policy(odd, "forbid", match)))])
    file.close()
    for command in (["show", "h"], ["query"]):
        output = run(*command, "--store", url).output
        assert not set(output) & set("\x1b\x07\u202e")
        assert "\nfake" not in output


def tamper(path: Path, statement: str) -> None:
    """Edit an audit file as somebody would who owns it."""
    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
    connection.close()
