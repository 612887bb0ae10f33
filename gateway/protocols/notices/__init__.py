"""Bodies of webhooks: JSON of our own, Slack's Block Kit, and Adaptive Cards for Microsoft Teams.

Pure, and only how a notice looks. Whatever agents or people wrote is shown as text, never as markup or as a link.
"""

from typing import Any, Literal

import msgspec

from gateway.core.webhook_letters import Notice
from gateway.protocols.notices import slack, teams
from gateway.protocols.notices.look import look_of

Form = Literal["json", "slack", "teams"]


def body_of(form: Form, notice: Notice, *, buttons: bool) -> bytes:
    """The body of a webhook. ``buttons``: whether Slack's may decide, because somebody listens to them."""
    if form == "json":
        return msgspec.json.encode(notice)
    look = look_of(notice)
    found: Any = slack.message(look, buttons=buttons) if form == "slack" else teams.message(look)
    return msgspec.json.encode(found)
