"""Where in a statement Cedar stopped reading, and what to do about it: its own complaint carries no position.

Decides nothing about a policy; ``rule`` has already had it refused.
"""

import re
from collections.abc import Sequence

from cedarpy import policies_to_pst

from gateway.core.policy.source import Problem, Statement, Token

_QUOTED = re.compile(r"[`']([^`']+)[`']")
_UNFINISHED = "unexpected end of input"
_SCOPE = "; a policy begins with permit or forbid and `(principal, action, resource)`"
_STEPS = (
    ("'=' is not", "; compare with `==`"),
    ("invalid policy effect", "; say permit or forbid"),
    ("invalid policy condition", "; say when or unless"),
    ("duplicate annotation", "; keep one of them"),
    ("found an invalid variable in the policy scope", _SCOPE),
    ("where the variable", _SCOPE),
    ("is missing the", _SCOPE),
    ("expected an entity uid", '; write it as Type::"name"'),
    ("has no fields or methods", "; a value begins with principal, action, resource or context"),
    ("pattern literal", '; write the pattern between quotes: like "abc*"'),
    ("valid escape", "; a backslash in a string is written twice"),
    ("number too large", "; numbers are 64-bit integers"),
    ("is not a valid method", "; look the method up in Cedar's list of operators"),
    ("is not a valid function", "; functions are datetime, duration, decimal and ip"),
    ("invalid variable", "; the variables are principal, action, resource and context, and strings need quotes"),
    ("unexpected end of input", "; something before the semicolon is unfinished"),
    ("unexpected token", "; look just before it for a missing operator, comma, quote or bracket"),
    ("invalid token", "; remove the character that is no part of Cedar"),
)


def syntax_problem(statement: Statement, error: str) -> Problem:
    """Cedar's complaint at its line, with the next step."""
    stop = _stop(statement.tokens, error)
    message = f"not valid Cedar: {error}{next((step for part, step in _STEPS if part in error), '')}"
    if stop is not None:
        return Problem(statement.path, stop.line, None, message)
    words = (*(word.rpartition("::")[2] for word in _QUOTED.findall(error)), error.rpartition(": ")[2].lstrip("@"))
    found = [token.line for word in words for token in statement.tokens if token.text == word]
    found = found or [token.line for word in words if len(word) > 1 for token in statement.tokens if word in token.text]
    line, *others = dict.fromkeys(found or [statement.line])
    also = f" (or line {', '.join(map(str, others))})" if others else ""
    return Problem(statement.path, line, None, f"{message}{also}")


def _stop(tokens: Sequence[Token], error: str) -> Token | None:
    """The token that the grammar did not take; None where it took all, and the complaint is about the meaning.

    A beginning of a policy that only lacks its end was read so far without fault.
    """
    if _complaint(tokens) != error:
        return None
    low, high = 0, len(tokens) - 1
    while low < high:
        middle = (low + high) // 2
        if _complaint(tokens[: middle + 1]) == _UNFINISHED:
            low = middle + 1
        else:
            high = middle
    if error.startswith(("unexpected", "invalid token")):
        return tokens[low]
    # A value that is refused is refused with the token after it.
    return None if low == len(tokens) - 1 else tokens[max(low - 1, 0)]


def _complaint(tokens: Sequence[Token]) -> str:
    try:
        policies_to_pst(" ".join(token.text for token in tokens))
    except ValueError as error:
        return str(error)
    return ""
