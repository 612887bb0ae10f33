"""Errors that end a hop: "could not decide" and "could not be carried".

A policy's denial is a value (``model.Deny``), not an error. One table in ``proxy.replies`` maps
these to replies; no other place turns an exception into a status.
"""

from collections.abc import Mapping

from gateway.core.reasons import Reason


class HopError(Exception):
    """The hop ends for ``reason``. ``detail`` names the thing and place, and never holds a secret."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class TokenError(HopError):
    """The presented token can't be used; answered with an RFC 6750 challenge when it is a 401."""


class ProtocolError(HopError):
    """The message isn't a valid one. ``code`` and ``data`` are the JSON-RPC error's, ``request_id`` its id.

    ``request_id`` is None where no id could be read (JSON-RPC: ``"id": null``).
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        code: int,
        request_id: str | int | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.code = code
        self.request_id = request_id
        self.data = data


class UpstreamError(HopError):
    """The upstream could not be reached or did not answer as its protocol asks."""


class StoreError(HopError):
    """The audit or state store failed; ``reason`` is AUDIT_UNAVAILABLE or STORE_UNAVAILABLE."""
