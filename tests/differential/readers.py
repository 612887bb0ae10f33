"""Other readers of JSON than the gateway's own: Python's ``json``, msgspec, and Node."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec

PROGRAM = """
const lines = require("readline").createInterface({input: process.stdin});
lines.on("line", line => {
  let out;
  try { out = JSON.stringify(JSON.parse(new TextDecoder("utf-8", {fatal: true}).decode(Buffer.from(line, "base64")))); }
  catch { out = "refused"; }
  process.stdout.write(Buffer.from(out).toString("base64") + "\\n");
});
"""


class Node:
    """One Node process that reads many texts; what it read comes back as JSON."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [program, "-e", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def read(self, *texts: bytes) -> list[Any]:
        """The value of each text, numbers as doubles; fails for a text that Node doesn't read."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        found = []
        for text in texts:
            self._process.stdin.write(base64.b64encode(text).decode() + "\n")
            self._process.stdin.flush()
            said = base64.b64decode(self._process.stdout.readline())
            assert said != b"refused", text
            found.append(doubles(json.loads(said)))
        return found

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)


def exact(value: Any) -> Any:
    """``value`` with types in the open, so that 1, 1.0 and true are different."""
    if isinstance(value, dict):
        return {name: exact(each) for name, each in value.items()}
    if isinstance(value, list):
        return [exact(each) for each in value]
    return (type(value).__name__, value)


def doubles(value: Any) -> Any:
    """``value`` as a reader sees it that has doubles only."""
    if isinstance(value, dict):
        return {name: doubles(each) for name, each in value.items()}
    if isinstance(value, list):
        return [doubles(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def assert_one_meaning(sent: bytes, forwarded: bytes, node: Node | None) -> None:
    """Each reader finds in what is forwarded what it finds in what was sent, and all find the same."""
    by_json, by_msgspec = json.loads(forwarded), msgspec.json.decode(forwarded)
    assert exact(by_json) == exact(json.loads(sent)) == exact(by_msgspec) == exact(msgspec.json.decode(sent))
    if node is not None:
        before, after = node.read(sent, forwarded)
        assert before == after == doubles(by_json)
