"""Schema handles for requests: each holds the argument record of one tool, and no other (POLICY 2.9).

The whole schema would cost a millisecond a call with a thousand tools. Handles are made when first asked for.
"""

import hashlib

from cedarpy import Schema
from msgspec import Struct

from gateway.core.policy.argtypes import Arguments, schema_with
from gateway.core.policy.values import Value
from gateway.core.recent import Recent

MOST_SCHEMAS = 256
"""Tools whose arguments policies read and whose handle is kept; one is some 100 KB."""


class Typed(Struct, frozen=True, eq=False):
    """A schema handle, and the hex SHA-256 of its text."""

    handle: Schema
    digest: str


class Schemas:
    """The schemas of one bundle."""

    def __init__(self, text: str, arguments: Arguments) -> None:
        self._text = text
        self._arguments = arguments
        self._made = Recent[tuple[str, str | None], Typed](MOST_SCHEMAS)
        self.bare = _typed(schema_with(text, {}))
        """For requests without arguments."""

    def of(self, args: Value) -> Typed:
        """The schema that fits ``context.args`` of one call, ``{server: {tool: {…}}}``; None for a call without."""
        for server, tools in (args or {}).items():
            tool = next(iter(tools), None)
            known = self._made.get((server, tool))
            if known is None:
                record = {} if tool is None else {tool: self._arguments[server][tool]}
                known = _typed(schema_with(self._text, {server: record}))
                self._made.put((server, tool), known)
            return known
        return self.bare


def _typed(text: str) -> Typed:
    return Typed(Schema.from_str(text), hashlib.sha256(text.encode()).hexdigest())
