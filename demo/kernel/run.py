"""``python -m demo.kernel.run``: an agent with a valid token, held by the gateway and by its own machine's kernel.

``--once`` exits after the story, with 0 only if every step ended as it must and its record is there.
"""

import argparse
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from demo import evidence, issuer
from demo.company import CLIENT, GUEST, MARIA, SCOPE, module
from demo.kernel import needs
from demo.kernel.machine import GuestAnswer, MissingError, loader, read_in_guest
from demo.kernel.node import CLASS, NODE, Node, paths
from demo.processes import Cast, ChildError
from demo.run import INTERRUPTED, Step, arguments, interrupt, table
from demo.site import REPOSITORY, SiteError, build

WAIT_SECONDS = 30.0
PERMIT = "analysts-read-balances"
AGENT_SECONDS = 60


class StoryError(Exception):
    """The story broke off."""


def main() -> int:
    """Run the demo; the exit status: 0 as it must be, 1 not, 2 something is missing here."""
    parser = argparse.ArgumentParser(prog="python -m demo.kernel.run", description="the demo of the kernel's half")
    parser.add_argument("--once", action="store_true", help="end after the story; 0 if every step ended as it must")
    parser.add_argument("--directory", type=Path, default=REPOSITORY / ".demo-kernel", help="deleted first")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    lacking, cgroups = needs.missing(), needs.cgroup_root()
    if lacking or cgroups is None:
        print("error: the kernel's half can't be shown here; missing:", file=sys.stderr)
        print("\n".join(f"  {each}" for each in lacking), file=sys.stderr)
        return 2
    try:
        node = Node(build(options.directory.resolve()), loader(), cgroups)
        node.settle()
        with node.cleared(), Cast(node.site.logs, REPOSITORY) as cast:
            good = _perform(node, cast)
            if not options.once:
                print(f"\nwork directory {node.site.root}, up until ctrl-c")
                cast.until_one_ends()
            return 0 if good else 1
    except (SiteError, MissingError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except (ChildError, StoryError, evidence.EvidenceError) as problem:
        print(f"error: {problem}; logs are in {options.directory}/logs", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED if options.once else 0


def _perform(node: Node, cast: Cast) -> bool:
    _raise_curtain(node, cast)
    print(f"\nthe policy file of both enforcement points, {node.policy}\n\n{node.policy.read_text()}")
    seen = _play(node)
    steps = [
        _called(node, seen),
        _step(node, "… calls the ledger directly, around the gateway", errno.ECONNREFUSED, seen["connect"], "connect"),
    ]
    if needs.has_lsm():
        steps.append(_step(node, "… reads a secret", errno.EPERM, seen["open"], "read"))
    else:
        steps += _in_guest(node)
    evidence.verify(node.site)
    print(f"\n$ hopgate audit query --agent {GUEST}\n{evidence.of_agent(node.site, GUEST).rstrip()}\n")
    print(table(steps))
    return all(step.ok for step in steps)


def _raise_curtain(node: Node, cast: Cast) -> None:
    site, python = node.site, [sys.executable, "-m"]
    (node.folder / "gateway.jwks").write_text(evidence.kernel_key(site), encoding="utf-8")
    port = str(site.ports["issuer"])
    cast.start("issuer", [*python, "demo.issuer", "serve", "--port", port, "--key", str(site.issuer_key)])
    cast.start("ledger", [*python, module("ledger"), *arguments(site, "ledger")])
    cast.start("loader", node.command("run"))
    for name in ("issuer", "ledger"):
        cast.until_open(name, site.ports[name])
    cast.start("gateway", [*evidence.hopgate(), "serve", "--config", str(site.config)])
    cast.until_ready("gateway", f"{site.health_url}/readyz")
    standing = _until(lambda: _in_force(node), "the node didn't take the gateway's rules")
    print(f"gateway {site.data_url}, node {NODE} with generation {standing['generation']} of its rules in force")


def _in_force(node: Node) -> Mapping[str, Any] | None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(node.site.root / "hopgate.db.admin"))) as http:
        [standing] = http.get("http://hopgate/api/v1/kernel").json()["nodes"]
    whole: Mapping[str, Any] = standing
    return whole if whole["generation"] and whole["generation"] == whole["wanted"] else None


def _play(node: Node) -> Mapping[str, Any]:
    site = node.site
    token = issuer.load(site.issuer_url, site.issuer_key).mint(MARIA, f"{site.data_url}/mcp/ledger", CLIENT, SCOPE)
    told = {
        "headers": {"authorization": f"Bearer {token}", "traceparent": f"00-{os.urandom(16).hex()}-{'1' * 16}-01"},
        "port": site.ports["ledger"],
        "secret": str(node.secret),
    }
    partly = () if needs.has_lsm() else ("--partly",)
    agent = ["env", f"PYTHONPATH={paths()}", sys.executable, "-m", "demo.kernel.agent", *_identity(node)]
    command = node.command("exec", *partly, "--class", CLASS, "--", *agent)
    done = subprocess.run(
        command, cwd=REPOSITORY, input=json.dumps(told), timeout=AGENT_SECONDS,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise StoryError(f"the agent ended with {done.returncode}: {(done.stderr.strip() or done.stdout)[-600:]}")
    seen: Mapping[str, Any] = json.loads(done.stdout)
    return seen


def _identity(node: Node) -> list[str]:
    site = node.site
    workload = site.workload(GUEST)
    values = {
        "--port": "0",
        "--certificate": workload.certificate,
        "--key": workload.key,
        "--trust-bundle": workload.trust_bundle,
        "--gateway-id": workload.gateway_id,
        "--gateway-url": workload.gateway_url,
    }
    return [str(word) for pair in values.items() for word in pair]


def _called(node: Node, seen: Mapping[str, Any]) -> Step:
    tool = str(seen["tool"])
    calls = [line for line in evidence.of_agent(node.site, GUEST).splitlines() if "ledger/read_balance" in line]
    # The policy file that the kernel has its part of decided this as well.
    recorded = next((line for line in calls if PERMIT in line), None)
    actual = tool.partition(":")[0]
    return Step(
        f"{GUEST}, with a valid token, calls a tool through the gateway", "permitted", actual, tool,
        None if recorded is None else f"invokeTool ledger/read_balance by {PERMIT}", "",
    )  # fmt: skip


def _in_guest(node: Node) -> list[Step]:
    print("this kernel has no BPF LSM: files in a virtual machine, under the same rules (half a minute)", flush=True)
    answer = read_in_guest(CLASS, node.image, node.secret, node.folder)
    if answer.agent == -1 or answer.outside == -1:
        raise StoryError(f"the guest said:\n{answer.said[-1500:]}")
    with node.guest_events.open("a", encoding="utf-8") as events:
        events.writelines(f"{line}\n" for line in answer.events)
    return [_outside(answer), _step(node, "… reads it as that agent", errno.EPERM, answer.agent, "read")]


def _outside(answer: GuestAnswer) -> Step:
    title = f"a process of no class reads a secret (Linux {answer.version})"
    return Step(title, "read", _named(answer.outside, "read"), "", "-", "")


def _step(node: Node, title: str, wanted: int, seen: int, good: str) -> Step:
    action = "connectNetwork" if wanted == errno.ECONNREFUSED else "readFile"

    def denial() -> Mapping[str, Any] | None:
        found = evidence.kernel_denials(node.site, GUEST)
        return next((record for record in found if record["action"] == action), None)

    record = _until(denial, f"no record of a denied {action}") if seen == wanted else None
    recorded = None
    if record is not None:
        by = "".join(f" by {policy}" for policy in record["policies"])
        recorded = f"{record['agent']['name']} on {record['node']} → {action} {record['resource']['id']}{by}"
    return Step(title, errno.errorcode[wanted], _named(seen, good), "", recorded, "")


def _named(code: int, good: str) -> str:
    return errno.errorcode.get(code, str(code)) if code else good


def _until(found: Callable[[], Mapping[str, Any] | None], otherwise: str) -> Mapping[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if (answer := found()) is not None:
            return answer
        time.sleep(0.2)
    raise StoryError(otherwise)


if __name__ == "__main__":
    sys.exit(main())
