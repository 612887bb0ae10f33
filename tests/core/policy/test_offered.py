"""Resources and prompts: governed by server, team, URI, name and registered sets, without an entry for each."""

import pytest
from msgspec import structs

from gateway.core.model import Deny, Permit, Uid
from gateway.core.policy.decide import decide, may_use
from gateway.core.registry import Resources

LEDGER = Uid("McpServer", "ledger")
YEAR = Uid("McpResource", "ledger/file:///reports/2026.csv")
SECRET = Uid("McpResource", "ledger/file:///secrets/key")
SUMMARY = Uid("Prompt", "ledger/summary")
READ = 'principal is Agent, action == Action::"readResource"'


@pytest.fixture
def known(firm):
    entries = {
        "file:///reports/*": Resources(server="ledger", pattern="file:///reports/*", sets=("reports",), scopes=("a",)),
        "file:///*": Resources(server="ledger", pattern="file:///*", sets=("files",), scopes=("b",)),
    }
    return structs.replace(
        firm, servers={**firm.servers, "ledger": structs.replace(firm.servers["ledger"], resources=entries)}
    )


def verdict(kit, registry, policy, action, resource):
    return decide(kit.hop("analyst", action, resource), kit.loaded(kit.files(policy), registry), registry, 1)


@pytest.mark.parametrize(
    ("scope", "secret_too"),
    [
        ('resource in ResourceSet::"reports"', False),
        ('resource in ResourceSet::"files"', True),
        ('resource in McpServer::"ledger"', True),
        ('resource in Team::"finance"', True),
        ('resource == McpResource::"ledger/file:///reports/2026.csv"', False),
    ],
)
def test_a_policy_may_name_them_by_any_of_these(kit, known, scope, secret_too):
    policy = f'@id("p") permit ({READ}, {scope});'
    assert isinstance(verdict(kit, known, policy, "readResource", YEAR), Permit)
    assert isinstance(verdict(kit, known, policy, "readResource", SECRET), Permit) is secret_too


def test_a_policy_may_compare_uris_and_names(kit, firm):
    policy = f'@id("p") permit ({READ}, resource) when {{ resource.uri like "file:///reports/*" }};'
    assert isinstance(verdict(kit, firm, policy, "readResource", YEAR), Permit)
    assert isinstance(verdict(kit, firm, policy, "readResource", SECRET), Deny)
    named = '@id("p") permit (principal, action == Action::"getPrompt", resource) when { resource.name == "summary" };'
    assert isinstance(verdict(kit, firm, named, "getPrompt", SUMMARY), Permit)
    assert isinstance(verdict(kit, firm, named, "getPrompt", Uid("Prompt", "ledger/other")), Deny)


def test_nothing_is_permitted_by_default_and_nothing_of_an_unknown_server(kit, firm):
    assert (
        verdict(kit, firm, f'@id("p") permit ({READ}, resource == {SECRET});', "readResource", YEAR).reason
        == "no_permit"
    )
    anything = '@id("p") permit (principal, action, resource);'
    found = verdict(kit, firm, anything, "readResource", Uid("McpResource", "nowhere/file:///x"))
    assert (found.reason, found.detail) == ("no_permit", 'McpResource::"nowhere/file:///x" is not registered')
    assert verdict(kit, firm, anything, "getTask", Uid("McpTask", "ledger/t")).reason == "no_permit"


def test_who_may_read_something_may_open_and_list(kit, known):
    policy = f'@id("p") permit ({READ}, resource in ResourceSet::"reports");'
    for action in ("discover", "listResources", "listPrompts", "listTools", "notify"):
        found = verdict(kit, known, policy, action, LEDGER)
        assert isinstance(found, Permit)
        assert [each.id for each in found.policies] == ["p"]
    unnamed = '@id("p") permit (principal, action == Action::"getPrompt", resource in McpServer::"ledger");'
    assert isinstance(verdict(kit, known, unnamed, "listPrompts", LEDGER), Permit)
    elsewhere = '@id("p") permit (principal, action == Action::"getPrompt", resource in McpServer::"reports");'
    assert isinstance(verdict(kit, known, elsewhere, "listPrompts", LEDGER), Deny)


def test_lists_hold_what_may_be_used_and_is_not_hidden(kit, known):
    listing = kit.hop("analyst", "listResources", LEDGER)
    permit = f'@id("p") permit ({READ}, resource in ResourceSet::"files");'
    hide = '@id("no") forbid (principal, action == Action::"listResources", resource in ResourceSet::"reports");'
    plain, hidden = kit.loaded(kit.files(permit), known), kit.loaded(kit.files(permit, hide), known)
    assert may_use(listing, plain, known, YEAR)
    assert not may_use(listing, hidden, known, YEAR)
    assert may_use(listing, hidden, known, SECRET)
    assert not may_use(listing, plain, known, SUMMARY)
    assert isinstance(decide(kit.hop("analyst", "readResource", YEAR), hidden, known, 1), Permit)


def test_an_unknown_set_keeps_a_bundle_from_loading(kit, known):
    text = f'@id("p") permit ({READ}, resource in ResourceSet::"report");'
    (problem,) = kit.compile_bundle(kit.files(text), kit.SCHEMA, known)
    assert 'did you mean "reports"' in problem.message


def test_a_team_may_permit_a_set_that_is_all_its_own(kit, known):
    text = f'@id("p") permit ({READ}, resource in ResourceSet::"reports");'
    assert kit.loaded(kit.files(text, path="teams/finance/p.cedar"), known)
    (problem,) = kit.compile_bundle(kit.files(text, path="teams/platform/p.cedar"), kit.SCHEMA, known)
    assert "its own resources" in problem.message


def test_a_prompt_is_completed_by_who_may_get_it_and_a_template_by_who_is_let(kit, known):
    policy = '@id("p") permit (principal, action in [Action::"getPrompt", Action::"readResource"], resource);'
    forbid = '@id("no") forbid (principal, action == Action::"complete", resource is Prompt);'
    template = Uid("McpResource", "ledger/file:///reports/{name}")
    assert [each.id for each in verdict(kit, known, policy, "complete", SUMMARY).policies] == ["p"]
    assert verdict(kit, known, policy + forbid, "complete", SUMMARY).reason == "forbidden"
    assert verdict(kit, known, policy, "complete", template).reason == "no_permit"
    other = policy.replace("resource)", 'resource) when { resource is Prompt && resource.name == "audit" }')
    assert verdict(kit, known, other, "complete", SUMMARY).reason == "no_permit"
