"""Plain values to typed sections, with every problem found and not just the first.

Walks the section types itself, since ``msgspec.convert`` stops at the first error; single values are
left to msgspec. A section with a bad value is not built, but its neighbours in a list or mapping are, so
that they can still be checked: only a result without errors may be used. Paths become absolute, against
the folder of the file read.
"""

import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Meta

from gateway.config import secret_references
from gateway.config.files import UnreadableError, require_file, require_folder
from gateway.config.problems import Fault, KeyPath, Problem, nearest, suggest
from gateway.config.secret_references import SecretError
from gateway.config.section import Section
from gateway.config.words import Word
from gateway.config.yaml_source import Document

S = TypeVar("S", bound=Section)

_INVALID = object()
_PLAIN = Word()
_TYPE_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


class TypedReader:
    """Reads one document. ``problems`` holds what was found so far."""

    def __init__(self, document: Document, folder: Path, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._kept: dict[KeyPath, list[int]] = {}
        self._document = document
        self._folder = folder
        self._environ = environ

    def read(self, section: type[S]) -> tuple[S | None, Mapping[str, Any]]:
        """The document as ``section``, and its good fields even where the whole could not be built."""
        fields = self._fields(section, self._document.value, ())
        return self._build(section, fields, ()), fields or {}

    def report(self, fault: Fault, path: KeyPath = ()) -> None:
        """Add a fault that was found in the value read from ``path``."""
        full = path
        for part in fault.key:
            full += (self._kept[full][part] if isinstance(part, int) and full in self._kept else part,)
        self.problems.append(self._document.problem((), Fault(full, fault.message, fault.hint, fault.severity)))

    def _value(self, annotation: Any, value: Any, path: KeyPath) -> Any:
        inner, options = unwrap(annotation)
        if value is None and type(None) in options:
            return None
        if isinstance(inner, type) and issubclass(inner, Section):
            built = self._build(inner, self._fields(inner, value, path), path)
            return _INVALID if built is None else built
        origin = typing.get_origin(inner)
        if origin is tuple and isinstance(value, list):
            return self._items(annotation, typing.get_args(inner)[0], value, path)
        if origin is Mapping and isinstance(value, dict):
            return self._entries(typing.get_args(inner), value, path)
        return self._leaf(annotation, value, path)

    def _fields(self, section: type[Section], value: Any, path: KeyPath) -> dict[str, Any] | None:
        """The good fields of a section, defaults included; None where ``value`` is no mapping."""
        if value is None and not path:
            self._fault(path, "the file is empty", "see docs/CONFIGURATION.md for its keys")
            return None
        if not isinstance(value, dict):
            self._fault(path, f"expected a mapping, found {_word_of(value)}", f"keys: {_keys_of(section)}")
            return None
        known = {field.name: field for field in msgspec.structs.fields(section)}
        unused = known.keys() - value.keys()
        misspelt: set[str | None] = set()
        for key in value:
            if key not in known:
                self._fault((*path, key), "unknown key", suggest(key, unused))
                misspelt.add(nearest(key, unused))
        good: dict[str, Any] = {}
        for name, field in known.items():
            here = (*path, name)
            if name in value:
                good[name] = self._value(field.type, value[name], here)
            elif field.required and name not in misspelt:
                self._fault(here, "this key is required and missing", _describe(field.type))
            elif not field.required:
                good[name] = self._default(field, here)
        return {name: item for name, item in good.items() if item is not _INVALID}

    def _default(self, field: msgspec.structs.FieldInfo, path: KeyPath) -> Any:
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        if isinstance(default, Section):
            return self._value(type(default), msgspec.to_builtins(default), path)
        return self._leaf(field.type, default, path) if isinstance(default, str) else default

    def _build(self, section: type[S], fields: Mapping[str, Any] | None, path: KeyPath) -> S | None:
        wanted = {field.name for field in msgspec.structs.fields(section)}
        if fields is None or wanted - fields.keys():
            return None
        built = section(**fields)
        for fault in built.faults():
            self.report(fault, path)
        return built

    def _items(self, annotation: Any, item: Any, value: list[Any], path: KeyPath) -> Any:
        for meta in _metas(annotation):
            if meta.min_length is not None and len(value) < meta.min_length:
                self._fault(path, f"the list needs at least {meta.min_length} item", _describe(annotation))
        read = [self._value(item, each, (*path, index)) for index, each in enumerate(value)]
        kept = [index for index, each in enumerate(read) if each is not _INVALID]
        inner, _ = unwrap(item)
        if len(kept) < len(read) and not (isinstance(inner, type) and issubclass(inner, Section)):
            return _INVALID
        self._kept[path] = kept
        return tuple(read[index] for index in kept)

    def _entries(self, arguments: Sequence[Any], value: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        key_type, value_type = arguments
        result: dict[str, Any] = {}
        for key, each in value.items():
            here = (*path, key)
            good_key = self._leaf(key_type, key, here)
            read = each if value_type is Any else self._value(value_type, each, here)
            if good_key is not _INVALID and read is not _INVALID:
                result[key] = read
        return result

    def _leaf(self, annotation: Any, value: Any, path: KeyPath) -> Any:
        word = next((meta.extra["word"] for meta in _metas(annotation) if meta.extra and "word" in meta.extra), _PLAIN)
        if isinstance(value, str):
            rule = secret_references.reference_fault if word.secret else word.rule
            fault = rule(value) if rule else None
            if fault is not None:
                self._fault(path, fault, _describe(annotation))
                return _INVALID
        try:
            msgspec.convert(value, annotation)
        except msgspec.ValidationError as error:
            self._mismatch(annotation, value, path, str(error))
            return _INVALID
        if isinstance(value, int) and not isinstance(value, bool) and unwrap(annotation)[0] is float:
            return float(value)
        if isinstance(value, str) and word.secret:
            return self._secret(word, value, path)
        return self._path(word, value, path) if isinstance(value, str) and word.path else value

    def _mismatch(self, annotation: Any, value: Any, path: KeyPath, message: str) -> None:
        inner, _ = unwrap(annotation)
        if typing.get_origin(inner) is typing.Literal and isinstance(value, str | int | float):
            known = [str(each) for each in typing.get_args(inner)]
            written = f'"{value[:80]}"' if isinstance(value, str) else str(value)
            self._fault(path, f"{written} is not one of its values", suggest(str(value), known))
            return
        self._fault(path, _plain_words(message), _describe(annotation))

    def _secret(self, word: Word, reference: str, path: KeyPath) -> str:
        scheme, _, rest = reference.partition(":")
        resolved = f"file:{self._folder / rest}" if scheme == "file" else reference
        try:
            length = len(secret_references.resolve(resolved, self._environ))
            if length < word.least_bytes:
                self._fault(path, f"the secret of {reference} has {length} bytes", f"use at least {word.least_bytes}")
        except SecretError as error:
            self._fault(path, str(error), "set it, or correct the reference")
        return resolved

    def _path(self, word: Word, value: str, path: KeyPath) -> Any:
        if word.path == "sqlite":
            return f"sqlite:///{self._folder / value.removeprefix('sqlite:///')}"
        resolved = self._folder / value
        try:
            if word.path == "file":
                require_file(resolved)
            elif word.path == "folder":
                require_folder(resolved)
        except UnreadableError as error:
            self._fault(path, error.message, error.hint)
            return _INVALID
        return str(resolved)

    def _fault(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Add a fault of the document itself, where paths are as written."""
        self.problems.append(self._document.problem(path, Fault((), message, hint)))


def unwrap(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The one type that isn't None inside ``annotation``, and all its alternatives."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = annotation.__origin__
    options = typing.get_args(annotation) if typing.get_origin(annotation) in {types.UnionType, typing.Union} else ()
    rest = [option for option in options if option is not type(None)]
    return (unwrap(rest[0])[0], options) if len(rest) == 1 else (annotation, options)


def _metas(annotation: Any) -> list[Meta]:
    """Every Meta of the annotation, outermost last; those inside ``X | None`` too."""
    found: list[Meta] = []
    if typing.get_origin(annotation) is typing.Annotated:
        found = [meta for meta in annotation.__metadata__ if isinstance(meta, Meta)]
        return _metas(annotation.__origin__) + found
    for option in (
        typing.get_args(annotation) if typing.get_origin(annotation) in {types.UnionType, typing.Union} else ()
    ):
        found += _metas(option)
    return found


def _describe(annotation: Any) -> str:
    texts = [meta.description for meta in _metas(annotation) if meta.description]
    return texts[-1].rstrip(".").replace("`", "") if texts else ""


def _keys_of(section: type[Section]) -> str:
    return ", ".join(field.name for field in msgspec.structs.fields(section))


def _word_of(value: Any) -> str:
    names = {dict: "object", list: "array", str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}
    return _TYPE_WORDS[names[type(value)]]


def _plain_words(message: str) -> str:
    """msgspec's message in the words of the file's author."""
    text = message.partition(" - at ")[0].replace(", got ", ", found ")
    text = re.sub(r"`([^`]*)`", lambda match: " or ".join(_TYPE_WORDS.get(w, w) for w in match[1].split(" | ")), text)
    return text[:1].lower() + text[1:]
