"""Policy files as text: their tier, their statements, and where each word stands.

Cedar's errors carry no position, so the text is split here, by a scanner that knows strings and
comments and nothing else of the language. It also bounds nesting: Cedar's parser recurses, and a
thousand brackets would end the process instead of the load. It judges no policy.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Literal, get_args

from msgspec import Struct

from gateway.core.model import Tier

MAX_DEPTH = 100
MAX_OPERATORS = 500
MAX_FILE_CHARS = 1_000_000

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+ | //[^\n]*)
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<word>[^\W\d]\w*)
  | (?P<number>\d+)
  | (?P<sign>::|&&|\|\||[=!<>]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = frozenset({".", "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "!", "if", "has", "in", "is"})
_OPENING = {"(": ")", "[": "]", "{": "}"}


class PolicySource(Struct, frozen=True):
    """One policy file. ``path`` is relative to the policies folder: ``teams/finance/read.cedar``."""

    path: str
    text: str


class Problem(Struct, frozen=True):
    """Why a bundle does not load, or what its author should mend. ``line`` counts from 1; 0 is the whole file."""

    path: str
    line: int
    policy: str | None
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        policy = f" policy `{self.policy}`:" if self.policy else ""
        return f"{where}: {self.severity}:{policy} {self.message}"


class Token(Struct, frozen=True):
    """A string literal with its quotes, a word, a number, or a sign."""

    text: str
    line: int


class Statement(Struct, frozen=True):
    """The text of one policy, from its first annotation to its semicolon."""

    path: str
    line: int
    text: str
    tokens: tuple[Token, ...]

    def has(self, word: str) -> bool:
        """Whether ``word`` stands in the statement, bare or as a string literal."""
        return any(token.text in {word, f'"{word}"'} for token in self.tokens)

    def line_of(self, word: str) -> int:
        """The line where ``word`` first stands, bare or as a string literal; else the first line."""
        for token in self.tokens:
            if token.text in {word, f'"{word}"'}:
                return token.line
        return self.line

    def line_most_like(self, words: frozenset[str]) -> int:
        """The first of the lines where most of ``words`` stand."""
        lines = Counter(token.line for token in self.tokens if token.text in words)
        return max(lines, key=lambda line: (lines[line], -line), default=self.line)


class Place(Struct, frozen=True):
    """A file's tier, and its team where the tier is ``teams``."""

    tier: Tier
    team: str | None = None


def place_of(path: str) -> Place | None:
    """The place of ``guardrails/x.cedar`` or ``teams/<team>/x.cedar``; None for any other path."""
    first, *rest = path.split("/")
    if not rest or any(part in {"", ".", ".."} for part in rest):
        return None
    for tier in get_args(Tier):
        if first == tier and tier != "teams":
            return Place(tier)
    if first == "teams" and len(rest) > 1:
        return Place("teams", rest[0])
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` for the nearest known word, or nothing."""
    near = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def statements(source: PolicySource) -> tuple[Statement, ...] | Problem:
    """The statements of a file in their order, or the first place where it can't be split."""
    if len(source.text) > MAX_FILE_CHARS:
        return Problem(source.path, 0, None, f"the file is longer than {MAX_FILE_CHARS} characters; split it")
    found: list[Statement] = []
    tokens: list[Token] = []
    start = end = 0
    line = 1
    for match in _TOKEN.finditer(source.text):
        text = match.group()
        if match.lastgroup != "blank":
            if text == '"':
                return Problem(source.path, line, None, "a string is not closed; add the closing quote")
            start = start if tokens else match.start()
            end = match.end()
            tokens.append(Token(text, line))
            if text == ";":
                found.append(Statement(source.path, tokens[0].line, source.text[start:end], tuple(tokens)))
                tokens = []
        line += text.count("\n")
    if tokens:
        return Problem(source.path, tokens[0].line, None, "the policy that begins here has no closing semicolon")
    too_deep = next((problem for statement in found if (problem := _nesting(statement))), None)
    return too_deep or tuple(found)


def _nesting(statement: Statement) -> Problem | None:
    """A statement whose brackets don't pair, or that Cedar can't be trusted to parse."""
    open_brackets: list[Token] = []
    operators = 0
    for token in statement.tokens:
        operators += token.text in _OPERATORS
        if token.text in _OPENING:
            open_brackets.append(token)
        elif token.text in _OPENING.values() and (
            not open_brackets or _OPENING[open_brackets.pop().text] != token.text
        ):
            message = f"`{token.text}` closes nothing; look for a bracket too many, or one of another kind"
            return Problem(statement.path, token.line, None, message)
        if len(open_brackets) > MAX_DEPTH or operators > MAX_OPERATORS:
            message = (
                f"the policy nests deeper than {MAX_DEPTH} brackets or has over {MAX_OPERATORS} operators; split it"
            )
            return Problem(statement.path, statement.line, None, message)
    if open_brackets:
        bracket = open_brackets[-1]
        return Problem(statement.path, bracket.line, None, f"`{bracket.text}` is not closed before the semicolon")
    return None


def in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Problems as a reader walks the files: by path, then line; each said once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.path, p.line, p.policy or "", p.message)))
