"""Entities of a registry and of one call."""

import json

from cedarpy import Schema
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.model import Uid, User
from gateway.core.policy.entities import Entity, Handles, World, bare, load, registered, user


def test_every_registered_thing_and_every_name_it_carries_is_an_entity(kit, firm):
    table = registered(firm)
    for uid in [
        Uid("Agent", "analyst"),
        Uid("Tool", "ledger/pay"),
        Uid("McpServer", "ledger"),
        Uid("Model", "openai/gpt"),
        Uid("User", "corp|maria"),
        Uid("Team", "platform"),
        Uid("Group", "finance-agents"),
        Uid("AgentClass", "data-analyst"),
        Uid("ToolSet", "payments"),
    ]:
        assert table[uid].uid == uid


def test_all_of_it_fits_the_schema(kit, firm):
    table = registered(firm)
    assert len(load(World(table), table, Schema.from_str(kit.SCHEMA))) > len(table)


def test_ancestors_are_transitive(kit, firm):
    found = World(registered(firm)).ancestors(Uid("Tool", "ledger/pay"))
    assert found == {
        Uid("Tool", "ledger/pay"),
        Uid("McpServer", "ledger"),
        Uid("ToolSet", "payments"),
        Uid("Team", "finance"),
    }


def test_a_call_reaches_owner_team_and_server_but_no_strangers(kit, firm):
    reached = World(registered(firm)).closure(
        [Uid("Agent", "analyst"), Uid("Tool", "ledger/pay"), Uid("Agent", "nobody")]
    )
    assert {Uid("User", "corp|maria"), Uid("Group", "finance-leads"), Uid("McpServer", "ledger")} <= set(reached)
    assert Uid("Agent", "planner") not in reached
    assert Uid("Agent", "nobody") not in reached


def test_cycles_end():
    a, b = Uid("Group", "a"), Uid("Group", "b")
    world = World({a: Entity(a, parents=(b,)), b: Entity(b, parents=(a,))})
    assert world.ancestors(a) == {a, b}


def test_what_a_token_brings_wins(kit, firm):
    known = firm.people["corp|maria"]
    entity = user(User(issuer="https://login.example", idp="corp", subject="maria", roles=("r",), groups=("g",)), known)
    assert entity.attrs["roles"] == ("r",)
    assert entity.attrs["email"] == known.email
    assert set(entity.parents) == {Uid("Group", "g"), Uid("Group", "finance-leads"), Uid("Team", "finance")}
    table = registered(firm)
    world = World(table, {uid: item.text() for uid, item in table.items()}).bringing({entity.uid: entity})
    assert world.get(entity.uid) is entity
    assert json.loads(world.text(entity))["attrs"]["roles"] == ["r"]
    assert world.text(table[Uid("Team", "finance")]) == table[Uid("Team", "finance")].text()


def test_only_names_without_attributes_are_made_up():
    assert set(bare([Uid("Group", "g"), Uid("Agent", "a"), Uid("Team", "t")])) == {Uid("Group", "g"), Uid("Team", "t")}


HOSTILE = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['{"__entity":{}}', "__extn", '"', "\\", "\x00"]
)


@settings(deadline=None)
@given(HOSTILE, st.lists(HOSTILE), HOSTILE)
def test_whatever_a_token_says_stays_text(kit, firm, subject, words, email):
    token = User(issuer="i", idp="corp", subject=subject, email=email or None, roles=tuple(words), groups=tuple(words))
    entity = user(token, None)
    world = World(registered(firm)).bringing({**bare(entity.parents), entity.uid: entity})
    handle = load(world, [entity.uid], Schema.from_str(kit.SCHEMA))
    loaded = {(item["uid"]["type"], item["uid"]["id"]): item for item in json.loads(str(handle))}
    assert sorted(loaded["User", token.sub]["attrs"]["roles"]) == sorted(set(words))
    assert {key for key in loaded if key[0] == "Group"} == {("Group", word) for word in words}


def test_tags_travel(kit, firm):
    tagged = structs.replace(firm.agents["analyst"], tags={"zone": "eu"})
    table = registered(structs.replace(firm, agents={"analyst": tagged}))
    assert json.loads(table[Uid("Agent", "analyst")].text())["tags"] == {"zone": "eu"}


def test_a_handle_is_remembered_for_exactly_the_entities_that_made_it(kit, firm):
    world, schema = World(registered(firm)), Schema.from_str(kit.SCHEMA)
    handles, agent = Handles(schema), Uid("Agent", "analyst")

    def brought(role):
        entity = user(User(issuer="i", idp="corp", subject="s", roles=(role,)), None)
        return world.bringing({entity.uid: entity}), [agent, entity.uid]

    first, other = handles.load(*brought("cfo")), handles.load(*brought("clerk"))
    assert handles.load(*brought("cfo")) is first
    assert (roles(first), roles(other)) == (["cfo"], ["clerk"])


def test_handles_are_bounded(kit, firm):
    world, handles = World(registered(firm)), Handles(Schema.from_str(kit.SCHEMA), 1)
    first = handles.load(world, [Uid("Agent", "analyst")])
    handles.load(world, [Uid("Agent", "planner")])
    assert handles.load(world, [Uid("Agent", "analyst")]) is not first


def roles(handle):
    (found,) = (
        item for item in json.loads(str(handle)) if item["uid"]["type"] == "User" and item["uid"]["id"] == "corp|s"
    )
    return found["attrs"]["roles"]
