"""docs/MUTATION.md from what ``make mutate`` left in ``mutants/``: figures by file, and every mutant that lives.

Reasons why a mutant may live are in ``scripts/mutation_reasons.toml``, by file, function and changed line, so that they
outlive mutmut's numbering. Doesn't run anything.
"""

import argparse
import ast
import datetime
import difflib
import json
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
REASONS = Path(__file__).with_name("mutation_reasons.toml")
STATUS: Mapping[int | None, str] = {
    None: "not run",
    0: "survived",
    1: "killed",
    3: "killed",
    5: "no test",
    33: "no test",
    24: "timeout",
    -24: "timeout",
    36: "timeout",
    152: "timeout",
    255: "timeout",
}
"""Exit code of a mutant's tests → what became of it. Any other is an odd end, which isn't counted as killed."""
ALIVE = ("survived", "no test", "odd")
COLUMNS = ("killed", "timeout", "survived", "no test", "odd", "not run")


class Alive(NamedTuple):
    """A mutant that no test killed."""

    file: str
    function: str
    line: str
    """What stands there now, or ``-`` and what is gone."""


def statuses(mutants: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Source files below ``mutants`` and, by mutant, what became of it."""
    for meta in sorted(mutants.rglob("*.py.meta")):
        codes: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
        if codes:
            yield meta.with_suffix(""), {name: STATUS.get(code, "odd") for name, code in codes.items()}


def alive(file: Path, name: str, became: Mapping[str, str]) -> list[Alive]:
    """The mutants of ``file`` that live, as what they change; ``name`` is the file's in the report."""
    lines = file.read_text().splitlines()
    functions = {
        node.name: lines[node.lineno - 1 : node.end_lineno]
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    found = []
    for mutant, status in became.items():
        if status in ALIVE:
            key = mutant.rpartition(".")[2]
            stem = key.rpartition("__mutmut_")[0]
            line = changed(functions.get(f"{stem}__mutmut_orig", []), functions.get(key, []))
            found.append(Alive(name, readable(stem), line))
    return found


def readable(stem: str) -> str:
    """``xǁTokenVerifierǁverify`` → ``TokenVerifier.verify``, ``x_begin`` → ``begin``."""
    return ".".join(stem.split("ǁ")[1:]) if "ǁ" in stem else stem.removeprefix("x_")


def changed(before: list[str], after: list[str]) -> str:
    """What is new in ``after`` but for its name; where nothing is, what is gone."""
    difference = list(difflib.unified_diff(before[1:], after[1:], lineterm="", n=0))[2:]
    new = [each[1:].strip() for each in difference if each.startswith("+")]
    gone = [each[1:].strip() for each in difference if each.startswith("-")]
    return " ".join(new) if new else "- " + " ".join(gone)


def reasons(path: Path = REASONS) -> dict[Alive, str]:
    """Why each of some mutants may live."""
    entries = tomllib.loads(path.read_text()).get("mutant", []) if path.exists() else []
    return {Alive(each["file"], each["function"], each["line"]): each["reason"] for each in entries}


def page(mutants: Path, why: Mapping[Alive, str], commit: str, day: str) -> str:
    """The whole document."""
    counts: dict[str, Counter[str]] = {}
    living: list[Alive] = []
    for file, became in statuses(mutants):
        name = file.relative_to(mutants).as_posix()
        counts[name] = Counter(became.values())
        living += alive(file, name, became)
    total = sum(counts.values(), Counter[str]())
    rows = [_row(f"`{name}`", count) for name, count in counts.items()]
    return "\n".join(
        [
            _INTRODUCTION.format(day=day, commit=commit, share=_share(total), run=_run(total)),
            f"| File | Mutants | {' | '.join(COLUMNS)} | killed, % |",
            f"| --- |{' ---: |' * (len(COLUMNS) + 2)}",
            *rows,
            _row("**all**", total),
            "",
            "## Mutants that live",
            "",
            *_listed(living, why),
            "",
        ]
    )


def _row(name: str, count: Counter[str]) -> str:
    figures = " | ".join(str(count[column]) for column in COLUMNS)
    return f"| {name} | {count.total()} | {figures} | {_share(count)} |"


def _share(count: Counter[str]) -> str:
    """Of those that were run: a mutant without a test counts as alive."""
    run = count.total() - count["not run"]
    return f"{100 * (count['killed'] + count['timeout']) / run:.1f}" if run else "–"


def _run(total: Counter[str]) -> str:
    left = total["not run"]
    return f"all {total.total()} mutants" if not left else f"{total.total() - left} of {total.total()} mutants"


def _listed(living: list[Alive], why: Mapping[Alive, str]) -> Iterator[str]:
    for file in dict.fromkeys(each.file for each in living):
        yield f"### `{file}`"
        yield ""
        for each, times in Counter(each for each in living if each.file == file).items():
            again = f" ({times} times)" if times > 1 else ""
            code = each.line.replace("`", "'")
            yield f"- `{each.function}`: `{code}`{again} — {why.get(each, 'no test tells it apart yet')}"
        yield ""


_INTRODUCTION = """\
# Mutation testing

A mutant is the code with one small change: a comparison turned, a name or a text replaced, an argument left out. A test
suite that is worth something fails for it. `make mutate` makes every such change to `core/delegation`, `core/scope`,
`core/revocation` and all of `identity/`, and runs the tests that reach the changed function;
`scripts/mutation.py` writes this page from what it found.

Of {day}, commit `{commit}`, {run} run: **{share} % killed**. A change that makes the tests hang counts as killed
(*timeout*); one that no test reaches counts as alive (*no test*).

Not mutated, as the tool does not: module constants, class bodies and their annotations, and functions under a decorator
(properties, fixtures of a context). Not run: tests that start a gateway or another process (`tests/wire`, `tests/e2e`,
most of `tests/attacks`), which kill more than is counted here. Hypothesis searches 20 examples a test and does not
shrink (profile `mutation`). Tests of sockets run in real time, so a mutant is now and then killed by a busy machine.
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", type=Path, default=ROOT / "mutants")
    arguments = parser.parse_args()
    command = ["git", "rev-parse", "--short", "HEAD"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    text = page(arguments.mutants, reasons(), asked.stdout.strip(), day)
    (ROOT / "docs" / "MUTATION.md").write_text(text)
    print(text.split("\n\n")[2])


if __name__ == "__main__":
    main()
