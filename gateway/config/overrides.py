"""Environment variables that override single settings: ``HOPGATE__LISTEN__DATA__PORT=0``.

Two underscores stand between keys, case doesn't matter, a number is the index of an existing list item,
and the value is a YAML scalar or a flow list of scalars. A variable that fits no setting is an error.
"""

import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.config.problems import KeyPath, Place, Problem, nearest, suggest
from gateway.config.section import Section
from gateway.config.typed_reader import unwrap
from gateway.config.yaml_source import Document, read_yaml

PREFIX = "HOPGATE__"
_ENVIRONMENT = "environment"


class _UnknownError(Exception):
    def __init__(self, hint: str) -> None:
        super().__init__(hint)
        self.hint = hint


def apply_overrides(
    document: Document, section: type[Section], environ: Mapping[str, str]
) -> tuple[Document, tuple[Problem, ...]]:
    """The document with every ``HOPGATE__`` variable of ``environ`` put in, and what is wrong with them."""
    value = _copy(document.value)
    places = dict(document.places)
    problems: list[Problem] = []
    taken: dict[KeyPath, str] = {}
    for variable in sorted(environ):
        if not variable.upper().startswith(PREFIX):
            continue
        words = variable[len(PREFIX) :].split("__")
        try:
            path = _locate(section, value, words)
        except _UnknownError as error:
            problems.append(Problem(_ENVIRONMENT, 0, variable, "no setting has this name", error.hint))
            continue
        if path in taken:
            message = f"{taken[path]} sets the same setting"
            problems.append(Problem(_ENVIRONMENT, 0, variable, message, "keep one of the two"))
            continue
        taken[path] = variable
        parsed, fault = _parse(variable, environ[variable])
        if fault is not None:
            problems.append(fault)
            continue
        value = _put(value, path, parsed)
        for known in [known for known in places if known[: len(path)] == path]:
            del places[known]
        places[path] = Place(_ENVIRONMENT, variable=variable)
    return Document(document.file, value, places), tuple(problems)


def _locate(annotation: Any, value: Any, words: list[str]) -> KeyPath:
    """The path that ``words`` name under a value of type ``annotation``."""
    if not words:
        return ()
    inner, _ = unwrap(annotation)
    word, rest = words[0], words[1:]
    if isinstance(inner, type) and issubclass(inner, Section):
        fields = {field.name: field.type for field in msgspec.structs.fields(inner)}
        name = word.lower()
        if name not in fields:
            raise _UnknownError(_hint(word, fields))
        return (name, *_locate(fields[name], _child(value, name), rest))
    origin, arguments = typing.get_origin(inner), typing.get_args(inner)
    if origin is Mapping and word:
        existing = value if isinstance(value, dict) else {}
        key = next((known for known in existing if known.casefold() == word.casefold()), word.lower())
        return (key, *_locate(arguments[1], _child(existing, key), rest))
    if origin is tuple and isinstance(value, list) and word.isascii() and word.isdigit() and int(word) < len(value):
        return (int(word), *_locate(arguments[0], value[int(word)], rest))
    raise _UnknownError("an override names a key of the settings, or the index of an existing list item")


def _hint(word: str, fields: Mapping[str, Any]) -> str:
    close = nearest(word, fields)
    return f"did you mean {close.upper()} for {word}?" if close else suggest(word, fields)


def _child(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _parse(variable: str, text: str) -> tuple[Any, Problem | None]:
    if "\n" in text:
        return None, Problem(_ENVIRONMENT, 0, variable, "the value has more than one line", "write one YAML scalar")
    document, problems = read_yaml(text, _ENVIRONMENT)
    flat = document is not None and not isinstance(document.value, dict)
    if document is None or problems or not flat:
        hint = "quote text that holds : # [ or {"
        return None, Problem(_ENVIRONMENT, 0, variable, "the value is not one YAML scalar or list", hint)
    return document.value, None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _put(value: Any, path: KeyPath, new: Any) -> Any:
    """``value`` with ``new`` at ``path``; what is in the way gives way."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(key, int):
        value[key] = _put(value[key], rest, new)
        return value
    base = value if isinstance(value, dict) else {}
    base[key] = _put(base.get(key), rest, new)
    return base
