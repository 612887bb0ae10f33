"""YAML text to plain values that remember where they were written.

Reads the core schema (YAML 1.2.2 §10.3) from parser events, so that nothing is built before it is
checked: duplicate keys, anchors, aliases, tags, merge keys, several documents, and sizes beyond the
limits are refused. Deliberately knows nothing of what the keys mean.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml import events as yaml_events
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from gateway.config.problems import Fault, KeyPath, Place, Problem, render_key

Scalar = str | int | float | bool | None

MAX_DEPTH = 64
MAX_NODES = 200_000
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})


class Document(Struct, frozen=True):
    """A file's plain value, and the place of every key and item in it."""

    file: str
    value: Any
    places: Mapping[KeyPath, Place]

    def place(self, path: KeyPath) -> Place:
        """Where ``path`` was written, or else the nearest value around it."""
        for length in range(len(path), -1, -1):
            found = self.places.get(path[:length])
            if found is not None:
                return found
        return Place(self.file)

    def problem(self, path: KeyPath, fault: Fault) -> Problem:
        """``fault``, found in the value at ``path``, with its place."""
        full = path + fault.key
        place = self.place(full)
        key = place.variable or render_key(full)
        return Problem(place.file, place.line, key, fault.message, fault.hint, fault.severity)


class _Stop(Exception):  # noqa: N818 - not an error to callers: ends the reading of one file
    def __init__(self, fault: Fault, line: int) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.line = line


def read_yaml(text: str, file: str, max_nodes: int = MAX_NODES) -> tuple[Document | None, tuple[Problem, ...]]:
    """The document in ``text``, and what is wrong with it. No document where the text isn't YAML.

    ``file`` is the name that problems give; ``max_nodes`` bounds keys and values together.
    """
    builder = _Builder(file, max_nodes)
    try:
        value = builder.document(text)
    except _Stop as stop:
        fault = stop.fault
        problem = Problem(file, stop.line, render_key(fault.key), fault.message, fault.hint)
        return None, (*builder.problems, problem)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 0 if mark is None else mark.line + 1
        cause = error.problem or error.context or "unknown cause"
        return None, (*builder.problems, Problem(file, line, "", f"not valid YAML: {cause}", _SYNTAX_HINT))
    except YAMLError as error:
        cause = str(error).partition("\n")[0]
        return None, (*builder.problems, Problem(file, 0, "", f"not valid YAML: {cause}", _SYNTAX_HINT))
    return Document(file, value, builder.places), tuple(builder.problems)


_SYNTAX_HINT = "check indentation, quotes and the space after colons, here and on the line before"


class _Builder:
    """Builds plain values from parser events, one document long."""

    def __init__(self, file: str, max_nodes: int) -> None:
        self.file = file
        self._max_nodes = max_nodes
        self.places: dict[KeyPath, Place] = {(): Place(file, 1, 1)}
        self.problems: list[Problem] = []
        self._nodes = 0

    def document(self, text: str) -> Any:
        events = iter(YAML(typ="safe", pure=True).parse(text))
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml_events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._stop((), event, "the file holds more than one document", "use one file for each")
                value = self._value(next(events), events, ())
        return value

    def _value(self, event: Any, events: Iterator[Any], path: KeyPath) -> Any:
        self._guard(event, path)
        if isinstance(event, yaml_events.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml_events.SequenceStartEvent):
            return self._sequence(events, path)
        if _SURROGATE.search(event.value):
            raise self._stop(path, event, "the text holds half a surrogate pair", "write the character itself")
        return _scalar(event.value) if not event.style else str(event.value)

    def _guard(self, event: Any, path: KeyPath) -> None:
        self._nodes += 1
        if self._nodes > self._max_nodes:
            raise self._stop(path, event, f"the file holds more than {self._max_nodes} values", "split the file")
        if len(path) > MAX_DEPTH:
            raise self._stop(path[:4], event, f"values are nested more than {MAX_DEPTH} deep", "flatten them")
        if isinstance(event, yaml_events.AliasEvent) or event.anchor is not None:
            raise self._stop(path, event, "anchors and aliases are not read", "write the value out where it is used")
        if event.tag is not None:
            raise self._stop(path, event, "tags are not read", "remove the ! and quote the value if it is text")

    def _mapping(self, events: Iterator[Any], path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml_events.MappingEndEvent):
                break
            self._guard(event, path)
            if not isinstance(event, yaml_events.ScalarEvent) or _SURROGATE.search(event.value):
                raise self._stop(path, event, "a key is not plain text", "quote the key if it holds [ or {")
            key = str(event.value)
            if key == "<<" and not event.style:
                raise self._stop(path, event, "merge keys are not read", "write the values out where they are used")
            here = (*path, key)
            if key in result:
                first = self.places[here].line
                message = f"the key is already set on line {first}"
                self.problems.append(
                    Problem(self.file, event.start_mark.line + 1, render_key(here), message, "keep one of the two")
                )
            else:
                self._mark(here, event)
            value = self._value(next(events), events, here)
            result.setdefault(key, value)
        return result

    def _sequence(self, events: Iterator[Any], path: KeyPath) -> list[Any]:
        result: list[Any] = []
        for event in events:
            if isinstance(event, yaml_events.SequenceEndEvent):
                break
            here = (*path, len(result))
            self._mark(here, event)
            result.append(self._value(event, events, here))
        return result

    def _mark(self, path: KeyPath, event: Any) -> None:
        self.places[path] = Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _stop(self, path: KeyPath, event: Any, message: str, hint: str) -> _Stop:
        return _Stop(Fault(path, message, hint), event.start_mark.line + 1)


def _scalar(text: str) -> Scalar:
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
