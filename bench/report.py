"""How a run is shown: a table of medians and ratios, and what machine it was."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEAD = ("proxy", "CPU-µs/request", "× nginx", "× aiohttp", "requests/s", "p50 µs", "p99 µs", "version")


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Aligned columns, one line for each leg."""
    rows = [HEAD]
    for name, leg in figures.items():
        rows.append(
            (
                name,
                f"{leg['cpu_us']:.1f}",
                ratio(leg, figures.get("nginx")),
                ratio(leg, figures.get("aiohttp")),
                f"{leg['per_second']:.0f}",
                f"{leg['p50_us']:.0f}",
                f"{leg['p99_us']:.0f}",
                leg["version"],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def ratio(leg: Mapping[str, Any], reference: Mapping[str, Any] | None) -> str:
    """CPU time as a multiple of the reference's, or a dash without one."""
    return "–" if reference is None else f"{leg['cpu_us'] / reference['cpu_us']:.2f}"


def machine(busy: float) -> dict[str, object]:
    """Enough to tell two machines apart, without naming them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return {
        "processor": " / ".join(sorted(models)) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "busy_before": round(busy, 3),
    }
