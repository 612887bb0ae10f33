"""One boot of one kernel: everything the guest can tell, read from its console."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.kernel.building import built
from tests.kernel.images import SWAPS, image, large_image, matrix_classes, measured_class, refused_images
from tests.kernel.machine import DONE, boot, busybox, kernel

Line = Mapping[str, Any]


class GuestRun(Struct, frozen=True):
    """``said`` is the whole console, for a person."""

    version: str
    cases: Mapping[str, Line]
    scenarios: Mapping[str, Sequence[Line]]
    measures: Sequence[Line]
    statuses: Sequence[Line]
    events: Sequence[Line]
    said: str


def run_guest(series: str, scratch: Path, *, measure: bool = False) -> GuestRun:
    """Boot Debian's kernel of ``series`` and read what it said."""
    on = kernel(series)
    said = boot(on, _files(on.overlay, measure), scratch)
    assert DONE in said, f"the guest didn't finish:\n{said[-3000:]}"
    assert "broken:" not in said, [line for line in said.splitlines() if "broken:" in line]
    return read_run(on.version, said)


def _files(overlay: bytes, measure: bool) -> dict[str, tuple[int, bytes]]:
    made = built()
    files = {
        "init": (0o100755, (made / "init").read_bytes()),
        "hopgate-bpf-loader": (0o100755, (made / "hopgate-bpf-loader").read_bytes()),
        "bin/busybox": (0o100755, busybox()),
        "bin/sh": (0o120777, b"busybox"),
        "modules/overlay.ko": (0o100644, overlay),
        "images/first": (0o100644, image(2, matrix_classes())),
        "images/large": (0o100644, large_image(1000)),
    }
    for number in range(SWAPS):
        files[f"images/swap-{number}"] = (0o100644, image(10 + number, matrix_classes(number)))
    for name, (content, _) in refused_images(2).items():
        files[f"images/bad-{name}"] = (0o100644, content)
    if measure:
        files["measure"] = (0o100644, b"")
        files["images/measured"] = (0o100644, image(2000, (measured_class(),)))
    return files


def read_run(version: str, said: str) -> GuestRun:
    """The guest's lines, by kind."""
    cases: dict[str, Line] = {}
    scenarios: dict[str, list[Line]] = {}
    measures: list[Line] = []
    statuses: list[Line] = []
    events: list[Line] = []
    errors: list[Line] = []
    for text in said.splitlines():
        line = _decoded(text)
        if line is None:
            continue
        if "case" in line:
            cases[line["case"]] = line
        elif "scenario" in line:
            scenarios.setdefault(line["scenario"], []).append({**line, "errors": errors})
            errors = []
        elif "measure" in line:
            measures.append(line)
        elif "loaded" in line and "hooks" in line:
            statuses.append(line)
        elif "monotonic" in line:
            events.append(line)
        elif "error" in line:
            errors.append(line)
    return GuestRun(version, cases, scenarios, measures, statuses, events, said)


def _decoded(text: str) -> dict[str, Any] | None:
    at = text.find("{")
    if at < 0:
        return None
    try:
        line: dict[str, Any] = json.loads(text[at:])
    except ValueError:
        return None
    return line
