"""A notice as an Adaptive Card for Microsoft Teams' incoming webhooks (Workflows).

Version 1.5 of the cards, which Teams shows everywhere. Text of cards is read as a subset of Markdown, so its marks are
escaped in what agents and people wrote. The one action opens the page.
"""

import re
from typing import Any

from gateway.protocols.notices.look import Look

VALUE_CHARS = 400
_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")


def message(look: Look) -> dict[str, Any]:
    """The message that carries the card."""
    facts = [{"title": name, "value": _escaped(value)} for name, value in look.facts]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.5",
        "body": [
            {"type": "TextBlock", "text": look.title, "weight": "Bolder", "size": "Medium", "wrap": True},
            {"type": "FactSet", "facts": facts},
        ],
        "actions": [] if look.url is None else [{"type": "Action.OpenUrl", "title": "Open", "url": look.url}],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


def _escaped(value: str) -> str:
    cut = value if len(value) <= VALUE_CHARS else f"{value[:VALUE_CHARS]}…"
    return _MARKS.sub(r"\\\1", " ".join(cut.split()))
