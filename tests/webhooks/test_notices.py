"""Bodies: ours fits its schema, and nothing that agents or people wrote is markup in Slack's or Teams'."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.core import approval as life
from gateway.core.webhook_letters import EVENTS, Notice, notice_of
from gateway.protocols.notices import body_of
from tests.core.approvals import NOW, an_approval, yes

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/webhook.schema.json").read_text())
EVIL = "<!channel> <https://evil.test|click> *b* [x](https://evil.test) &amp; @all"


def notice(**changes: object) -> Notice:
    found = notice_of("approval.asked", an_approval(**changes), NOW)
    return structs.replace(found, data=structs.replace(found.data, url="https://gateway.test/approvals/a?signature=s"))


@pytest.mark.parametrize("event", EVENTS)
def test_ours_fits_its_schema(event: str) -> None:
    voted = life.vote(an_approval(), yes("ann"))
    body = json.loads(body_of("json", notice_of(event, voted, NOW), buttons=False))  # type: ignore[arg-type]
    jsonschema.validate(body, SCHEMA)
    assert (body["type"], body["timestamp"]) == (event, "2027-01-15T08:00:00.000Z")


def test_slack_shows_what_was_written_as_text() -> None:
    body = json.loads(body_of("slack", notice(purpose=EVIL, sub=EVIL), buttons=True))
    assert "evil" not in body["text"]
    texts = [block["text"] for block in body["blocks"] if "text" in block]
    assert {text["type"] for text in texts} == {"plain_text"}
    assert any(EVIL in text["text"] for text in texts)
    [actions] = [block for block in body["blocks"] if block["type"] == "actions"]
    assert [each.get("value") for each in actions["elements"]] == [None, "a", "a"]


def test_buttons_are_there_only_for_what_waits_and_is_listened_to() -> None:
    assert b"hopgate_approve" not in body_of("slack", notice(), buttons=False)
    assert b"hopgate_approve" not in body_of("slack", notice(state="approved"), buttons=True)


def test_teams_only_opens_the_page() -> None:
    body = json.loads(body_of("teams", notice(purpose=EVIL), buttons=True))
    card = body["attachments"][0]["content"]
    assert [each["type"] for each in card["actions"]] == ["Action.OpenUrl"]
    [purpose] = [each["value"] for each in card["body"][1]["facts"] if each["title"] == "Purpose"]
    assert r"\[x\]\(https" in purpose
    assert r"\<\!channel\>" in purpose


@given(st.text(max_size=5000))
def test_any_text_makes_a_body_of_bounded_size(text: str) -> None:
    found = notice(purpose=text, detail=text)
    assert len(msgspec.json.decode(body_of("teams", found, buttons=True))["attachments"]) == 1
    shown = json.loads(body_of("slack", found, buttons=True))
    assert all(len(block["text"]["text"]) < 1000 for block in shown["blocks"] if "text" in block)
