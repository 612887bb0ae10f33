"""YAML text to plain values, and where in the file each one stands.

Knows nothing of what the keys mean. Duplicate keys, aliases, tags and several documents are refused.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hopgate_bpf.rules.refusal import Reason, RefusedError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8


class Written(Struct, frozen=True):
    """A file's value, and the line (from 1) of each key and item: ``$.socket.uids[0]`` → 12."""

    value: Any
    lines: Mapping[str, int]

    def line(self, path: str) -> int:
        """The line of ``path``, or else of what is around it."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)


def read_yaml(text: str, file: str) -> Written:
    """The one YAML document in ``text``.

    Raises:
        RefusedError: CONFIG_INVALID, with file and line.
    """
    if len(text.encode()) > MAX_BYTES:
        raise RefusedError(Reason.CONFIG_INVALID, f"{file}: the file is larger than {MAX_BYTES} bytes")
    reader = _Reader(file)
    try:
        yaml = YAML(typ="safe", pure=True)
        root = yaml.compose(text)
        value = {} if root is None else reader.value(yaml, root, "$")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise reader.refused(line, f"not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError) as error:
        raise reader.refused(1, f"not valid YAML: {str(error).partition(chr(10))[0]}") from None
    except RecursionError:
        raise reader.refused(1, f"values are nested more than {MAX_DEPTH} deep") from None
    return Written(value, reader.lines)


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._seen: set[int] = set()
        self.lines: dict[str, int] = {"$": 1}

    def refused(self, line: int, text: str) -> RefusedError:
        return RefusedError(Reason.CONFIG_INVALID, f"{self._file}:{line}: {text}")

    def value(self, yaml: YAML, node: Node, path: str) -> Any:
        line = node.start_mark.line + 1
        if id(node) in self._seen:
            raise self.refused(line, "aliases are not read; write the value out where it is used")
        self._seen.add(id(node))
        if path.count(".") + path.count("[") > MAX_DEPTH:
            raise self.refused(line, f"values are nested more than {MAX_DEPTH} deep")
        if isinstance(node, MappingNode):
            return self._mapping(yaml, node, path)
        if isinstance(node, SequenceNode):
            return [self._item(yaml, item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        return yaml.constructor.construct_object(node)

    def _mapping(self, yaml: YAML, node: MappingNode, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                raise self.refused(line, "a key is not plain text")
            key = str(key_node.value)
            here = f"{path}.{key}"
            if key in found:
                raise self.refused(line, f"{key} is already set on line {self.lines[here]}; keep one of the two")
            self.lines[here] = line
            found[key] = self.value(yaml, value_node, here)
        return found

    def _item(self, yaml: YAML, node: Node, path: str) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self.value(yaml, node, path)
