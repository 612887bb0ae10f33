"""``docs/KERNEL-PUSH.md``: its settings load, its commands answer as printed, its table has every kind of drift."""

import asyncio
import os
import re
import subprocess
from pathlib import Path
from typing import get_args

import msgspec
from ruamel.yaml import YAML

from gateway.config.kernel_settings import KernelSettings
from gateway.core.kernel.standing import DriftKind
from tests.app.kernel.loaders import company_of, kinds, node_until
from tests.app.kernel.test_events import denied, recorded
from tests.app.kernel.test_shadows import listed
from tests.bpf.conftest import new_cgroup as new_cgroup
from tests.bpf.nodes import Place
from tests.bpf.serving import serving
from tests.bpf.test_shadows import NewCgroup, process_in
from tests.docs.pages import is_as_printed, steps
from tests.gateways import HOPGATE, running

PAGE = (Path(__file__).parents[2] / "docs" / "KERNEL-PUSH.md").read_text()


def test_the_settings_are_those_of_the_code() -> None:
    [block] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    settings = msgspec.convert(YAML(typ="safe").load(block)["kernel"], KernelSettings)
    assert [each.node for each in settings.loaders] == ["worker-1", "worker-2"]
    assert not [*settings.faults(), *(fault for each in settings.loaders for fault in each.faults())]


def test_every_kind_of_drift_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(get_args(DriftKind))


async def test_the_commands_answer_as_printed(tmp_path: Path, new_cgroup: NewCgroup) -> None:
    (tmp_path / "node").mkdir()
    place = Place(tmp_path / "node")
    company = company_of(tmp_path / "company", place)
    cgroup = new_cgroup()
    place.more["shadow"] = {"roots": [str(cgroup)], "quarantine": True}
    place.kernel.not_enforced = ("files: this kernel has no BPF LSM",)
    environ = os.environ | {"HOPGATE_CONFIG": str(company.config), "PATH": f"{HOPGATE.parent}:{os.environ['PATH']}"}

    def run(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command], cwd=company.directory, env=environ, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async with serving(place), running(company):
        await node_until(company, lambda node: kinds(node) == {"not_enforced"})
        place.kernel.said.put_nowait(denied())
        await recorded(company, 1)
        with process_in(cgroup):
            await recorded(company, 2)
            await listed(company, 1)
            for command, expected in steps(PAGE):
                answer = await asyncio.to_thread(run, command)
                assert is_as_printed(_spaced(expected), _spaced(answer)), answer


def _spaced(text: str) -> str:
    return re.sub(r"  +", "  ", text)
