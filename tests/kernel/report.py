"""``python -m tests.kernel.report`` runs the matrix on every kernel and writes ``docs/KERNEL-MATRIX.md`` and ``.json``.

``python -m tests.kernel.report FILE.json`` writes the page from results of before.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.kernel.guest_run import run_guest
from tests.kernel.machine import KERNELS
from tests.kernel.matrix import CASES, Case

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "KERNEL-MATRIX.md"
NAMES = {0: "ok", 1: "EPERM", 2: "ENOENT", 17: "EEXIST", 22: "EINVAL", 97: "EAFNOSUPPORT", 111: "ECONNREFUSED"}
INTRODUCTION = """\
# The kernel half, tried

Written by `python -m tests.kernel.report`; don't edit.

Every case runs as root on Debian's own kernels, in QEMU: once outside of any class, where it has to work, and once as
an agent, where a denial is the errno *and* a deny counter that went up. A cell says what the agent saw, and the hook
that counted it. `tests/kernel/test_matrix.py` fails on any difference.
"""
ROWS_LEFT = """
## What isn't closed

- **access(2) and readdir of hidden files** (row 4): the kernel has no hook with a path there. Names leak; contents and
  attributes don't.
- **`sh script`** (row 22): an interpreter that may be run reads any script that may be read.
- **Descriptors and connections from before** (rows 25 and 36): judged only where the node asks for revalidation, which
  costs a check at every read, write and send. Connections aren't closed when a process joins.
- **Names of inodes on btrfs**: anchors need the device number that the kernel uses, and btrfs tells user space another:
  `anchors_untracked` in `status` counts them. The automaton holds as everywhere.
- **Overlays whose layers are different file systems**: a literal path below such an overlay is guarded by its name and
  by the anchors of its lower file, not by an anchor of the overlay's own.
- **Kernels before 6.2 with `preempt=full`**: the kernel leaves out a program that is already running on the same
  processor; `skipped` in `status` counts how often. It is 0 with Debian's default.
- **Without BPF LSM**: only the network half holds, by cgroup; `not_enforced` in `status` says so.
"""


def main() -> None:
    """Measure, or read, then write."""
    results = json.loads(Path(sys.argv[1]).read_text()) if len(sys.argv) > 1 else measured()
    PAGE.with_suffix(".json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(results))


def measured() -> dict[str, Any]:
    """Series → version and what each case saw."""
    results = {}
    for series in KERNELS:
        with tempfile.TemporaryDirectory() as folder:
            run = run_guest(series, Path(folder))
        cases = {
            name: {key: line[key] for key in ("errno", "denied", "would_deny")} for name, line in run.cases.items()
        }
        swap = run.scenarios["swap"][0]
        results[series] = {"version": run.version, "cases": cases, "swap": {key: swap[key] for key in SWAP}}
    return results


SWAP = ("rounds", "both", "neither")


def page(results: Mapping[str, Any]) -> str:
    """The page for people."""
    return "\n".join([INTRODUCTION, *_table(results), *_scenarios(results), ROWS_LEFT])


def _table(results: Mapping[str, Any]) -> Iterator[str]:
    versions = [f"{series} ({result['version']})" for series, result in results.items()]
    yield f"| row | case | {' | '.join(versions)} |"
    yield "|---|---|" + "---|" * len(versions)
    for name, case in sorted(CASES.items(), key=lambda item: item[1].row):
        cells = [_cell(case, result["cases"][name]) for result in results.values()]
        yield f"| {case.row} | {case.what} | {' | '.join(cells)} |"
    yield "| 37 | loader killed | still enforced | still enforced |"
    yield ""
    right = [sum(_is_right(case, result["cases"][name]) for name, case in CASES.items()) for result in results.values()]
    yield f"As expected: {' and '.join(f'{count} of {len(CASES)}' for count in right)}."
    yield ""


def _scenarios(results: Mapping[str, Any]) -> Iterator[str]:
    yield "Generations swapped while an agent opens two files of which each generation permits one:"
    yield ""
    yield "| kernel | rounds | both seen | neither seen |"
    yield "|---|---|---|---|"
    for series, result in results.items():
        swap = result["swap"]
        yield f"| {series} | {swap['rounds']:,} | {swap['both']} | {swap['neither']} |"


def _is_right(case: Case, seen: Mapping[str, Any]) -> bool:
    hooks = tuple(sorted(seen["denied"])), tuple(sorted(seen["would_deny"]))
    return seen["errno"] == case.errno and hooks == (case.hooks, case.would_deny)


def _cell(case: Case, seen: Mapping[str, Any]) -> str:
    said = NAMES.get(seen["errno"], str(seen["errno"]))
    hooks = ", ".join(f"`{hook}`" for hook in sorted(seen["denied"] or seen["would_deny"]))
    if seen["would_deny"]:
        hooks += ", would deny"
    text = f"{said} ({hooks})" if hooks else said
    return text if _is_right(case, seen) else f"**{text}**"


if __name__ == "__main__":
    main()
