"""A notice as a Slack message (Block Kit), for an incoming webhook.

Values are ``plain_text``: Slack reads no mention, link or markup in them. The buttons only say who pressed what; that
is verified and decided where it comes in.
"""

from typing import Any

from gateway.protocols.notices.look import Look

FIELD_CHARS = 400
"""Slack takes 2,000 a field."""
APPROVE, REFUSE = "hopgate_approve", "hopgate_refuse"


def message(look: Look, *, buttons: bool) -> dict[str, Any]:
    """The message."""
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(look.title[:150])}]
    blocks += [{"type": "section", "text": _plain(f"{name}: {_cut(value)}")} for name, value in look.facts]
    actions: list[dict[str, Any]] = []
    if look.url is not None:
        actions.append({"type": "button", "text": _plain("Open"), "url": look.url, "action_id": "hopgate_open"})
    if buttons and look.decidable:
        value = look.approval
        actions += [
            {**_button("Approve", APPROVE, value), "style": "primary", "confirm": _confirm("Approve this call?")},
            {**_button("Refuse", REFUSE, value), "style": "danger"},
        ]
    if actions:
        blocks.append({"type": "actions", "block_id": "hopgate_decide", "elements": actions})
    # Shown in notifications; unlike plain_text it is read as markup.
    return {"text": f"{look.title} ({look.approval})", "blocks": blocks}


def _button(text: str, action: str, value: str) -> dict[str, Any]:
    return {"type": "button", "text": _plain(text), "action_id": action, "value": value}


def _confirm(title: str) -> dict[str, Any]:
    return {
        "title": _plain(title),
        "text": _plain("It is carried out once, exactly as shown on its page."),
        "confirm": _plain("Approve"),
        "deny": _plain("Back"),
    }


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _cut(value: str) -> str:
    return value if len(value) <= FIELD_CHARS else f"{value[:FIELD_CHARS]}…"
