# ruff: noqa: E501 - tables of cases are read line by line
import re
from typing import get_args

import pytest

from gateway.config.registry_file import AgentOperation, ServerOperation
from gateway.core.registry import AgentClass, Destination, Upstream
from gateway.core.scope import DELEGATION_ACTIONS
from gateway.publish import cedar_schema


def test_people_agents_servers_and_models(folder):
    registry = folder.loaded().registry
    maria = registry.people["corp|maria"]
    assert (maria.subject, maria.groups, maria.team) == ("maria", ("finance-leads",), "finance")
    analyst = registry.agents["analyst"]
    assert analyst.upstream == Upstream("https://127.0.0.1:9001/", analyst.spiffe_id)
    assert registry.agent_of("spiffe://demo.test/agent/planner").entry_point
    assert registry.by_audience == {"https://gateway.test:8443/a2a/analyst": "analyst"}
    assert registry.models["gpt"].uid.id == "openai/gpt"
    assert registry.teams == {"finance", "platform"}


def test_tools_take_their_defaults_from_name_and_server(folder):
    registry = folder.loaded().registry
    read, pay = registry.tool("ledger", "read_balance"), registry.tool("ledger", "pay")
    assert (read.scopes, read.environment, read.destructive) == (("ledger/read_balance",), "production", False)
    assert (pay.scopes, pay.environment, pay.destructive, pay.open_world) == (("ledger/pay",), "staging", True, True)
    assert read.input_schema["properties"] == {"account": {"type": "string"}}


def test_several_files_are_one_registry(folder):
    folder.settings("[registry.yaml]", "[registry.yaml, more.yaml]")
    folder.write("more.yaml", "models: {claude: {provider: anthropic}}\nteams: [research]\n")
    registry = folder.loaded().registry
    assert set(registry.models) == {"gpt", "claude"}
    assert "research" in registry.teams


def test_a_name_in_two_files_is_refused_with_both_places(folder):
    folder.settings("[registry.yaml]", "[registry.yaml, more.yaml]")
    folder.write("more.yaml", "\nmodels:\n  gpt: {provider: other}\n")
    (error,) = folder.errors()
    assert error.startswith("more.yaml:3: models.gpt: this name is already that of gpt, at ")
    assert "registry.yaml:40" in error


def test_plain_http_on_this_host_has_no_spiffe_id(folder):
    folder.registry("https://127.0.0.1:9001/", "http://127.0.0.1:9001/")
    assert folder.loaded().registry.agents["analyst"].upstream.spiffe_id is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("owner: corp|maria\n    team: platform", "owner: corp|mario\n    team: platform", 'registry.yaml:7: agents.planner.owner: "corp|mario" is not a registered person (did you mean "corp|maria"?)'),
        ("owner: corp|maria\n    team: platform", "owner: finance\n    team: platform", "agents.planner.owner: 'finance' is not a person's id"),
        ("team: platform", "team: plattform", 'agents.planner.team: "plattform" is not a registered team (did you mean "platform"?)'),
        ("groups: [finance-leads], team: finance", "team: finanz", 'people["corp|maria"].team: "finanz" is not a registered team'),
        ("issuer: https://login.test", "issuer: https://login.test/", "issuer corp is configured as https://login.test"),
        ("agent/analyst", "agent/planner", "agents.analyst.spiffe_id: this SPIFFE ID is already that of planner"),
        ("spiffe://demo.test/agent/planner", "spiffe://demo.test", "agents.planner.spiffe_id: a workload's SPIFFE ID has a path"),
        ("  planner:", "  plan ner:", 'agents["plan ner"]: \'plan ner\' is not a name'),
        ("  ledger:", "  ..:", "servers[\"..\"]: '..' is not a name"),
        ('9002/mcp", spiffe_id: spiffe://demo.test/server/ledger', '9002/mcp"', "servers.ledger.upstream.spiffe_id: an https upstream needs the SPIFFE ID"),
        ("https://127.0.0.1:9002/mcp", "http://ledger.test/mcp", "servers.ledger.upstream.url: plain http is for loopback addresses only"),
        ('{url: "https://127.0.0.1:9001/"}', '{url: "https://127.0.0.1:9001/", audience: "https://gateway.test:8443/mcp/ledger"}', "agents.analyst.upstream.audience: this audience is already that of ledger"),
        ("risk_level: medium", "risk_level: mid", 'agents.analyst.risk_level: "mid" is not one of its values (known: high, low, medium)'),
        ("read_only: true", "read_only: true\n        destructive: true", "tools.read_balance.destructive: a read-only tool can't be destructive"),
        ("scopes: [ledger/pay]", "scopes: []", "tools.pay.scopes: a call has to need at least one scope"),
        ("scopes: [ledger/pay]", "scopes: [a b]", "tools.pay.scopes[0]: 'a b' is not a scope"),
        ("type: object", "type: array", "input_schema.type: the schema of a tool's arguments has type: object"),
        ("{type: string}", "{type: strng}", 'input_schema.properties.account.type: "strng" is not a JSON Schema type (did you mean "string"?)'),
        ("required: [account]", "required: [acount]", 'input_schema.required[0]: "acount" is not among the properties (did you mean "account"?)'),
        ("sets: [finance-readonly]", "sets: [finance-readonly]\n        sensitive: [acount]", 'sensitive[0]: "acount" is not an argument of input_schema'),
        ("purpose: plans", "purpose: plans\n    colour: red", "agents.planner.colour: unknown key"),
        ("purpose: plans", "purpose: [plans]", "agents.planner.purpose: expected text, found a list"),
        ("models:", "modles:", 'modles: unknown key (did you mean "models"?)'),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_key(refused, old, new, message):
    assert message in refused("registry.yaml", old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("entry_point: true", "entry_point: false", "agents.planner.clients: warning: clients have no effect"),
        ("[analyst/delegate, ledger/read_balance]", "[analyst/delegat]", 'agents.planner.scopes[0]: warning: nothing needs the scope "analyst/delegat" (did you mean "analyst/delegate"?)'),
        ("spiffe://demo.test/agent/planner", "spiffe://other.test/agent/planner", "agents.planner.spiffe_id: warning: no trust bundle is configured for other.test"),
        ("https://127.0.0.1:9002/mcp", "http://127.0.0.1:9002/mcp", "upstream.spiffe_id: warning: nothing is verified over plain http"),
    ],
)  # fmt: skip
def test_what_works_but_is_probably_a_mistake_is_warned_about(folder, old, new, message):
    folder.registry(old, new)
    (warning,) = folder.warnings()
    assert message in warning


def test_a_person_of_an_unknown_issuer_is_warned_about(folder):
    folder.registry("teams: [", '  "corq|lee": {issuer: "https://x.test", name: Lee}\nteams: [')
    (warning,) = folder.warnings()
    assert "no configured issuer is named corq" in warning


def test_one_unreadable_owner_does_not_make_every_agent_wrong(folder):
    folder.registry("name: Maria López, ", "")
    (error,) = folder.errors()
    assert 'people["corp|maria"].name: this key is required and missing' in error


def test_operations_that_may_need_scopes_are_those_that_policies_know() -> None:
    assert set(get_args(AgentOperation)) == DELEGATION_ACTIONS
    known = set(re.findall(r"\w+", " ".join(re.findall(r"^action ([\w, ]+) in ", cedar_schema(), re.MULTILINE))))
    assert known >= set(get_args(ServerOperation)) | DELEGATION_ACTIONS


MACHINES = """classes:
  data-analyst: {hide: true}
destinations:
  llm: {host: llm.test, port: 443, protocol: tcp, sets: [models]}
  lan: {host: 10.0.0.0/8, sets: [models]}
teams: ["""


def test_classes_and_destinations_are_registered(folder):
    folder.registry("teams: [", MACHINES)
    registry = folder.loaded().registry
    assert registry.classes == {"data-analyst": AgentClass(name="data-analyst", hide=True)}
    assert registry.destinations["llm"] == Destination(
        name="llm", host="llm.test", port=443, protocol="tcp", sets=("models",)
    )
    assert registry.destinations["lan"].port is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data-analyst:", '"so so":', "is no name of a class"),
        ("llm.test", "LLM.test", "has another form in rules: write llm.test"),
        ("10.0.0.0/8", "10.0.0.1/8", "is neither a name, nor an address, nor a network"),
        ("10.0.0.0/8", '"::ffff:10.0.0.1"', "write 10.0.0.1"),
        ("port: 443", "port: 70000", "destinations.llm.port: 70000 is no port"),
        ("protocol: tcp", "protocol: sctp", "destinations.llm.protocol"),
        ("{hide: true}", "{hidden: true}", "classes.data-analyst.hidden: unknown key"),
    ],
)  # fmt: skip
def test_each_mistake_in_classes_and_destinations_is_named(refused, old, new, message):
    assert message in refused("registry.yaml", "teams: [", MACHINES.replace(old, new))


def test_a_destination_outside_of_every_set_is_warned_about(folder):
    folder.registry("teams: [", MACHINES.replace(", sets: [models]}\n  lan", "}\n  lan"))
    (warning,) = folder.warnings()
    assert "policies name destinations by their sets" in warning
