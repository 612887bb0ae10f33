"""Attack 27: text that makes a regular expression run for very long.

The data path has next to none: every regular expression of the gateway is listed here with who writes what it reads,
and those that can meet a caller's text run on the worst of it in time that grows no faster than the text.
"""

import ast
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import gateway
from gateway.admin.approval_page import _ID
from gateway.admin.incoming_webhooks import _ID as _NONCE
from gateway.admin.incoming_webhooks import _SLACK, _STANDARD
from gateway.core.policy.evaluate import _CULPRIT
from gateway.identity.authorization_server import _ERROR_CODE, _SENDABLE
from gateway.protocols.base import accepts
from gateway.protocols.mcp.envelope import MOST_TRACE_CHARS
from gateway.protocols.notices.teams import _MARKS
from gateway.proxy.consent_pages import _BROWSER, _CODE, _ERROR
from gateway.proxy.locate import QUERY_CHARS, split_target
from gateway.telemetry.redaction import MOST_CHARACTERS, redact
from gateway.telemetry.traces import remote_context

ROOT = Path(str(gateway.__file__)).parent
CALLERS = {
    "admin/approval_page.py", "admin/incoming_webhooks.py", "core/policy/evaluate.py",
    "identity/authorization_server.py", "proxy/consent_pages.py", "protocols/notices/teams.py",
    "telemetry/redaction.py",
}  # fmt: skip
"""May meet a caller's text: in Cedar's messages, in the log, of a browser; or that of a third party's server."""
OPERATORS = {
    "cli/audit.py", "cli/policy/new.py", "config/input_schema.py", "config/problems.py", "config/rules.py",
    "config/secret_references.py", "config/typed_reader.py", "config/yaml_source.py", "core/kernel/compile.py",
    "core/kernel/hosts.py", "core/policy/load_rules.py",
    "core/policy/source.py", "core/policy/syntax_errors.py", "core/policy/validate.py", "core/revocation.py",
    "proxy/dispatch.py",
}  # fmt: skip
"""Read settings, registry, policies or the command line, written by who runs the gateway."""
MOST_SECONDS = 1.0
"""For texts on which a quadratic expression would take minutes."""


def users_of_re(root: Path) -> set[str]:
    """Files that import ``re``, or any other engine of regular expressions."""
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {"re", "regex", "re2", "fnmatch", "glob", "pyparsing"} & set(names):
                found.add(str(path.relative_to(root)))
    return found


def test_every_user_of_regular_expressions_is_listed() -> None:
    assert users_of_re(ROOT) == CALLERS | OPERATORS


def worst(length: int) -> list[str]:
    """Texts of ``length`` that make the expressions begin, go on and fail."""
    seeds = [
        "bearer ", "bearer%20", "bearer +", "eyJ", "eyJ.", "ewk", "a.", "a" * 16 + ".", "-", "A-", "-----BEGIN ",
        "-----BEGIN A", "PRIVATE KEY", "PRIVATE KEY----", "token", "authori", "private", " ", "\t", ",", ";", "=",
        "a=1,", "a=", "00-", "0" * 32, "error while evaluating policy `", "error while evaluating policy ", "`",
        "/", "&", "%", "a&", "*/*,", "\\", "\u0430",
    ]  # fmt: skip
    whole = [seed * (length // len(seed)) for seed in seeds]
    return [*whole, *(f"-----BEGIN {text}" for text in whole), *(f'bearer {text}"' for text in whole)]


def longest(read: Callable[[str], object], length: int) -> float:
    took = []
    for text in worst(length):
        began = time.process_time()
        try:
            read(text)
        except Exception as error:  # noqa: BLE001 - how it ends is another test's
            assert not isinstance(error, RecursionError)
        took.append(time.process_time() - began)
    return max(took)


READERS: dict[str, tuple[Callable[[str], object], int]] = {
    "a log value": (redact, 4 * MOST_CHARACTERS),
    "a log key": (lambda text: redact({text: 1}), 4 * MOST_CHARACTERS),
    "a log list": (lambda text: redact([text] * 3), MOST_CHARACTERS),
    "a message of Cedar": (lambda text: _CULPRIT.search(text), 200_000),
    "traceparent": (lambda text: remote_context({"traceparent": text}, {}), 16_384),
    "tracestate": (
        lambda text: remote_context({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": text}, {}),
        16_384,
    ),
    "tracestate in _meta": (
        lambda text: remote_context({}, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": text}),
        MOST_TRACE_CHARS,
    ),
    "Accept": (lambda text: accepts({"accept": text}, "application/json"), 65_536),
    "a path": (lambda text: split_target(f"/{text}"), 65_536),
    "a link's approval": (lambda text: _ID.fullmatch(text), 65_536),
    "a letter's path": (lambda text: _STANDARD.fullmatch(f"/webhooks/approvals/{text}"), 65_536),
    "a letter's id": (lambda text: _NONCE.fullmatch(text), 65_536),
    "Slack's path": (lambda text: _SLACK.fullmatch(f"/webhooks/slack/{text}"), 65_536),
    "a card's text": (lambda text: _MARKS.sub("x", text), 65_536),
    "a browser's cookie": (lambda text: _BROWSER.fullmatch(text), 65_536),
    "a browser's code": (lambda text: _CODE.fullmatch(text), 65_536),
    "a browser's error": (lambda text: _ERROR.fullmatch(text), 65_536),
    "an issuer's error": (lambda text: _ERROR_CODE.fullmatch(text), 200_000),
    "an issuer's token": (lambda text: _SENDABLE.fullmatch(text), 200_000),
    "a query": (lambda text: split_target(f"/mcp/x?{text}"), QUERY_CHARS),
}


@pytest.mark.parametrize("reader", READERS)
def test_the_worst_text_is_read_soon(reader: str) -> None:
    read, length = READERS[reader]
    assert longest(read, length) < MOST_SECONDS


def test_the_measure_finds_a_bad_expression() -> None:
    quadratic = re.compile(r" *x")
    assert longest(lambda text: quadratic.search(text) if text.isspace() else None, 65_536) > MOST_SECONDS
