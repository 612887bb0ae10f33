"""``python -m demo.run``: start the company, tell its story, check every step, say where to look.

``--once`` ends after the story, with 0 only if every scene ended as it must and the records bear it out.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from demo import attacker, evidence, guide, issuer, story
from demo.company import AGENTS, GATEWAY_ID, SERVERS, module
from demo.processes import Cast, ChildError
from demo.site import REPOSITORY, Site, SiteError, build

INTERRUPTED = 130


@dataclass(frozen=True)
class Step:
    """A scene that was played: how it must end, how it did, and what the record says."""

    title: str
    expected: str
    actual: str
    text: str
    recorded: str | None
    txn: str

    @property
    def ok(self) -> bool:
        """Whether caller and record agree with what must happen."""
        return self.actual == self.expected and self.recorded is not None


def main() -> int:
    """Run the demo; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo.run", description="the Hopgate demo")
    parser.add_argument("--once", action="store_true", help="end after the story; 0 if every step ended as it must")
    parser.add_argument("--directory", type=Path, default=REPOSITORY / ".demo", help="work directory (deleted first)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        site = build(options.directory.resolve())
    except SiteError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    with Cast(site.logs, REPOSITORY) as cast:
        try:
            return _perform(site, cast, once=options.once)
        except ChildError as problem:
            print(f"\nerror: {problem}; the end of {cast.log(problem.name)}:", file=sys.stderr)
            _print_tail(cast, problem.name)
            return 1
        except evidence.EvidenceError as problem:
            print(f"\nerror: {problem}", file=sys.stderr)
            _print_tail(cast, "gateway")
            return 1
        except KeyboardInterrupt:
            print("\nstopping")
            return INTERRUPTED if options.once else 0


def _perform(site: Site, cast: Cast, *, once: bool) -> int:
    print(f"work directory {site.root}")
    _raise_curtain(site, cast)
    print("\nthe story")
    steps = [_play(scene, site) for scene in story.SCENES]
    print("\nan attacker owns the analyst, its key and its last hop token")
    steps += [_play(scene, site) for scene in attacker.ATTEMPTS]
    evidence.verify(site)
    print(f"\nthe first chain, as recorded ({steps[0].txn})\n\n{evidence.chain_tree(site, steps[0].txn).rstrip()}\n")
    print(table(steps))
    good = all(step.ok for step in steps)
    if not good:
        _print_failures(steps, cast)
    if once:
        return 0 if good else 1
    guide.write_clients(site)
    print(f"\n{guide.where_to_look(site, steps[0].txn)}\nup until ctrl-c")
    cast.until_one_ends()
    return 0


def _raise_curtain(site: Site, cast: Cast) -> None:
    python = [sys.executable, "-m"]
    cast.start(
        "issuer", [*python, "demo.issuer", "serve", "--port", str(_port(site, "issuer")), "--key", str(site.issuer_key)]
    )
    for name in (*SERVERS, *AGENTS):
        cast.start(name, [*python, module(name), *arguments(site, name)])
    for name in ("issuer", *SERVERS, *AGENTS):
        cast.until_open(name, _port(site, name))
        print(f"  {name:<9} 127.0.0.1:{_port(site, name)}")
    cast.start("gateway", [*evidence.hopgate(), "serve", "--config", str(site.config)])
    cast.until_ready("gateway", f"{site.health_url}/readyz")
    print(f"  {'gateway':<9} data {site.data_url}  public {site.public_url}  health {site.health_url}")


def arguments(site: Site, name: str) -> Iterable[str]:
    """Command line of an agent or a server."""
    values: dict[str, object] = {
        "--port": _port(site, name),
        "--certificate": site.certificate(name),
        "--key": site.key(name),
        "--trust-bundle": site.trust_bundle,
        "--gateway-id": GATEWAY_ID,
        "--gateway-url": site.data_url,
    }
    if name == "analyst":
        values["--leak"] = site.leaked_token
    for option, value in values.items():
        yield from (option, str(value))


def _port(site: Site, name: str) -> int:
    return site.ports[name]


def _play(scene: story.Scene, site: Site) -> Step:
    print(f"\n• {scene.title}")
    stage = story.Stage(
        site, issuer.load(site.issuer_url, site.issuer_key), os.urandom(16).hex(), lambda said: print(f"    {said}")
    )
    ending = asyncio.run(story.run(scene, stage))
    print(f"    {ending.text}")
    hops = evidence.hops_of(site, stage.trace_id)
    wrong = {name: ending.facts.get(name) for name, value in scene.facts if ending.facts.get(name) != value}
    recorded = evidence.summary(hops, scene.expected)
    actual = f"{ending.reason}, but with {wrong}" if wrong and ending.reason == scene.expected else ending.reason
    return Step(scene.title, scene.expected, actual, ending.text, recorded, hops[0].txn if hops else "")


def table(steps: Iterable[Step]) -> str:
    """Steps as aligned text: verdict, what had to happen, what happened, what the record says."""
    rows = [("", "step", "expected", "actual", "recorded")]
    rows += [
        ("ok" if step.ok else "FAILED", step.title, step.expected, step.actual, step.recorded or "nothing of the kind")
        for step in steps
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _print_failures(steps: Iterable[Step], cast: Cast) -> None:
    for step in steps:
        if not step.ok:
            print(f"\n{step.title}: {step.text}", file=sys.stderr)
    for name in ("gateway", *(name for name in (*SERVERS, *AGENTS) if cast.is_troubled(name))):
        print(f"\nthe end of {cast.log(name)}:", file=sys.stderr)
        _print_tail(cast, name)


def _print_tail(cast: Cast, name: str) -> None:
    for line in cast.tail(name):
        print(f"  {line}", file=sys.stderr)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Have SIGTERM end the demo as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
