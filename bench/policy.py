"""What a decision costs with 10, 100 and 1,000 policies, 10,000 agents and 1,000 tools: warm, cold, and not remembered.

    python -m bench.policy [--rounds N] [--calls N] [--agents N] [--results FOLDER]

One process, no network: CPU time of ``decide`` alone. Each round measures every leg once, and the order turns from
round to round; figures are medians over rounds, and only ratios within one run compare. *Warm* asks the same things
again. *Cold* asks for an agent, a tool and a user that nothing has seen before. *Unkept* asks the warm questions with
the memory of decisions off. Nothing is asserted about time.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from bench.processes import busy_share
from bench.report import machine
from gateway.core.model import Call, Chain, Hop, Peer, Permit, Route, SpiffeId, Uid, User
from gateway.core.policy.bundle import Bundle, PolicySource, compile_bundle
from gateway.core.policy.decide import decide
from gateway.core.policy.memory import Memory
from gateway.core.registry import Agent, Person, Registry, Server, Tool, Upstream
from gateway.publish import cedar_schema

TEAMS, SERVERS, TOOLS = 100, 100, 10
"""One server a team, of ten tools each: 1,000 tools."""
RESULTS = Path("bench", "results")
SHARED = """
@id("suspended") forbid (principal is Agent, action, resource) when { principal.status == "suspended" };
@id("depth") forbid (principal, action == Action::"invokeTool", resource) when { context.delegation_depth > 5 };
@id("loops") forbid (principal, action == Action::"invokeTool", resource) when { context.reentry };
@id("risk") forbid (principal is Agent, action == Action::"invokeTool", resource is Tool)
  when { principal.risk > resource.risk + 1 };
@id("own-team") permit (principal is Agent, action == Action::"invokeTool", resource is Tool)
  when { resource in principal.team };
@id("people") permit (principal is Agent, action == Action::"invokeTool", resource is Tool)
  when { context has user && context.user.roles.contains("staff") && principal.risk_level == "low" };
"""
OWN = """@id("team-{number}") permit (principal is Agent in Group::"g{group}", action == Action::"invokeTool",
  resource in Team::"t{team}") when {{ principal.risk_level == "low" && context.delegation_depth <= {depth} }};
"""
BROAD = """@id("broad-{number}") permit (principal, action == Action::"invokeTool", resource)
  when {{ principal in Group::"g{group}" && resource in Team::"t{team}" && context.delegation_depth <= {depth} }};
"""
ARGUMENTS = """@id("large") forbid (principal is Agent, action == Action::"invokeTool", resource in Team::"t0")
  when { context has args.s0.tool0 && context.args.s0.tool0.amount > 1000 };
"""
SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}


@dataclass(frozen=True)
class Case:
    """One bundle under measurement."""

    name: str
    bundle: Bundle
    compile_seconds: float


def policies(count: int, text: str) -> list[PolicySource]:
    """``count`` policies: seven that concern everybody or read arguments, the rest of one form."""
    rest = "".join(
        text.format(number=number, team=number % TEAMS, group=number % 50, depth=2 + number % 3)
        for number in range(count - 7)
    )
    return [PolicySource("platform/bench.cedar", SHARED + ARGUMENTS + rest)]


def registry(agents: int) -> Registry:
    """A company of ``agents`` agents, 100 teams with a server each, and 1,000 tools."""
    people = {
        f"corp|p{team}": Person(id=f"corp|p{team}", issuer="https://idp", subject=f"p{team}", name="P", team=f"t{team}")
        for team in range(TEAMS)
    }
    servers = {f"s{number}": _server(number) for number in range(SERVERS)}
    known = {f"a{number}": _agent(number) for number in range(agents)}
    return Registry(
        people=people,
        agents=known,
        servers=servers,
        models={},
        teams=frozenset(f"t{team}" for team in range(TEAMS)),
        by_spiffe_id={agent.spiffe_id: name for name, agent in known.items()},
        by_audience={},
    )


def hop(agent: int, server: int, tool: int, user: int, amount: int = 1) -> Hop:
    """One call, of its own agent, tool and user."""
    name, sub = f"a{agent}", f"u{user}"
    spiffe_id = SpiffeId(f"spiffe://bench.test/agent/{name}")
    return Hop(
        id="hop",
        route=Route("mcp", f"s{server}", f"/mcp/s{server}", "https://gw/", "https://gw/"),
        peer=Peer(spiffe_id, "bench.test", "x", 0),
        agent=name,
        user=User("https://idp", "corp", sub, f"{sub}@bench.test", ("staff",)),
        call=Call(
            protocol="mcp",
            version="1",
            method="tools/call",
            action="invokeTool",
            resource=Uid("Tool", f"s{server}/tool{tool}"),
            message={},
            arguments={"amount": amount},
        ),
        chain=Chain(f"corp|{sub}", (spiffe_id,), (name,), "t", 2_000_000_000, 8, frozenset({"tools"})),
        now=1_795_000_000_000,
    )


def measured(asked: Sequence[Hop], bundle: Bundle) -> float:
    """CPU-µs of one decision, over all that is asked."""
    began = time.process_time()
    for each in asked:
        decide(each, bundle, bundle.registry, 1)
    return 1e6 * (time.process_time() - began) / len(asked)


def run(cases: Sequence[Case], rounds: int, calls: int, agents: int) -> dict[str, dict[str, float]]:
    """CPU-µs of each leg, by case and leg: medians over rounds."""
    found: dict[tuple[str, str], list[float]] = {}
    warm = [hop(number % agents, number % SERVERS, number % TOOLS, number % 20) for number in range(20)] * (calls // 20)
    for case in cases:
        if not isinstance(decide(warm[0], case.bundle, case.bundle.registry, 1), Permit):
            raise RuntimeError(f"{case.name}: the first call is not permitted")
        measured(warm, case.bundle)
    off = {case.name: case.bundle.remembering(Memory(0)) for case in cases}
    legs = [(case, leg) for case in cases for leg in ("warm", "unkept", "cold")]
    for number in range(rounds):
        turn = number % len(legs)
        for case, leg in (*legs[turn:], *legs[:turn]):
            bundle = off[case.name] if leg == "unkept" else case.bundle
            asked = cold(number, calls, agents) if leg == "cold" else warm
            found.setdefault((case.name, leg), []).append(measured(asked, bundle))
    result: dict[str, dict[str, float]] = {}
    for (name, leg), figures in found.items():
        result.setdefault(name, {})[leg] = statistics.median(figures)
    return result


def cold(number: int, calls: int, agents: int) -> list[Hop]:
    """Calls that no round before had an agent, or a user, of."""
    begin = 100 + number * calls
    return [hop(each % agents, each % SERVERS, each // 7 % TOOLS, 1000 + each) for each in range(begin, begin + calls)]


def memory_of(case: Case, entries: int, agents: int) -> dict[str, float]:
    """What remembered decisions take: resident bytes for as many different calls."""
    memory = Memory(entries)
    bundle = case.bundle.remembering(memory)
    asked = cold(0, entries, agents)
    measured(asked, bundle.remembering(Memory(0)))
    before = _resident()
    measured(asked, bundle)
    return {"entries": len(memory), "bytes_each": (_resident() - before) / max(1, len(memory))}


def table(figures: dict[str, dict[str, float]], cases: Sequence[Case]) -> str:
    """One line a bundle; ratios are to the first."""
    first = next(iter(figures.values()))
    lines = ["| policies | warm | × | cold | × | not remembered | largest slice | compiled in |", "|---" * 8 + "|"]
    for case in cases:
        row = figures[case.name]
        largest = max(case.bundle.cuts.enforced.sizes(), default=0)
        cells = [
            case.name,
            f"{row['warm']:.0f}",
            f"{row['warm'] / first['warm']:.2f}",
            f"{row['cold']:.0f}",
            f"{row['cold'] / first['cold']:.2f}",
            f"{row['unkept']:.0f}",
            str(largest),
            f"{case.compile_seconds:.1f} s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def compiled(name: str, sources: list[PolicySource], known: Registry) -> Case:
    """The bundle, or the problems that keep it from loading as an error."""
    began = time.process_time()
    bundle = compile_bundle(sources, cedar_schema(), known)
    if not isinstance(bundle, Bundle):
        raise RuntimeError("\n".join(map(str, bundle[:5])))
    return Case(name, bundle, time.process_time() - began)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="bench.policy", description="CPU time per decision, by number of policies")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=400, help="of each leg in each round")
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=5_000, help="remembered decisions whose memory is measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder that the JSON is written to")
    options = parser.parse_args()
    busy, known = busy_share(), registry(options.agents)
    cases = [compiled(f"{count:,}", policies(count, OWN), known) for count in (10, 100, 1000)]
    cases.append(compiled("1,000 without scopes", policies(1000, BROAD), known))
    figures = run(cases, options.rounds, options.calls, options.agents)
    kept = memory_of(cases[2], options.entries, options.agents)
    print(f"CPU-µs a decision; {options.agents:,} agents, {SERVERS * TOOLS:,} tools; the machine was {busy:.0%} busy")
    print(table(figures, cases))
    print(f"{kept['entries']:.0f} remembered decisions take {kept['bytes_each']:.0f} bytes each")
    now = datetime.now(UTC)
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"policy-{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(busy),
        "python": platform.python_version(),
        "agents": options.agents,
        "tools": SERVERS * TOOLS,
        "rounds": options.rounds,
        "calls": options.calls,
        "figures": figures,
        "compile_seconds": {case.name: case.compile_seconds for case in cases},
        "memory": kept,
    }
    file.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {file}")
    return 0


def _server(number: int) -> Server:
    url = f"https://127.0.0.1:2/s{number}"
    name, team = f"s{number}", f"t{number % TEAMS}"
    tools = {
        f"tool{each}": Tool(
            server=name,
            name=f"tool{each}",
            risk_level="low",
            environment="production",
            scopes=("tools",),
            input_schema=SCHEMA,
        )
        for each in range(TOOLS)
    }
    upstream = Upstream(url, SpiffeId(f"spiffe://bench.test/server/{name}"))
    return Server(name=name, team=team, environment="production", upstream=upstream, tools=tools)


def _agent(number: int) -> Agent:
    base = Agent(
        name=f"a{number}",
        spiffe_id=SpiffeId(f"spiffe://bench.test/agent/a{number}"),
        owner=f"corp|p{number % TEAMS}",
        team=f"t{number % TEAMS}",
        purpose="bench",
        risk_level="low",
        environment="production",
    )
    return structs.replace(base, groups=(f"g{number % 50}",), capabilities=("bench",), scopes=("tools",))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    sys.exit(main())
