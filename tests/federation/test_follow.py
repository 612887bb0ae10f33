"""``hopgate audit show --follow``: one tree from the logs of two gateways, and what could not be read is named."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.federation.sides import GATEWAY_A, GATEWAY_B, Sides, everyone, sides
from tests.wire.agent import asking, heard, said

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sides]:
    pair = sides(tmp_path_factory.mktemp("sides"))
    pair.a.settings["federation"]["peers"]["b"]["audit"] = pair.b.store_url
    async with everyone(pair):
        async with asking(pair.a, "planner") as client:
            assert said(await heard(client, "balance")) == "analyst < 128150"
        yield pair


def txn(found: Sides) -> str:
    return str(found.analyst.tokens[-1]["txn"])


def show(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", "show", *arguments])


def shape(nodes: list[dict[str, Any]]) -> list[Any]:
    """Action and children of each node, but for what came before the message: the card, the sessions."""
    return [[node["record"]["action"], shape(node["children"])] for node in nodes]


async def test_one_tree_across_both_domains(found: Sides) -> None:
    done = show(txn(found), "--config", str(found.a.config), "--follow", "--format", "json")
    assert (done.exit_code, done.stderr) == (0, "")
    roots = msgspec.json.decode(done.stdout)
    delegation = [node for node in roots if node["record"]["action"] == "delegate"]
    [[_, [[issued, [[again, below]]]]]] = shape(delegation)
    assert (issued, again) == ("federateChain", "delegate")
    assert ["invokeTool", []] in below
    assert not any(node["detached"] for node in roots)


async def test_for_people_it_says_who_spoke_for_whom(found: Sides) -> None:
    done = show(txn(found), "--config", str(found.a.config), "--follow")
    assert f'planner (Maria López, finance) by {GATEWAY_A} → Agent::"analyst" delegate' in done.stdout
    assert "goes on at" not in done.stdout


async def test_without_follow_it_says_where_the_chain_goes_on(found: Sides) -> None:
    here = show(txn(found), "--store", found.a.store_url)
    assert f"goes on at {GATEWAY_B}, whose log is not read here" in here.stdout
    there = show(txn(found), "--store", found.b.store_url)
    assert f"continues a token of a hop that is not in what was read; {GATEWAY_A} vouched for it" in there.stdout


async def test_other_logs_by_hand_from_either_side(found: Sides) -> None:
    for one, other in ((found.a, found.b), (found.b, found.a)):
        done = show(txn(found), "--store", one.store_url, "--follow", "--with", other.store_url, "--format", "json")
        roots = msgspec.json.decode(done.stdout)
        assert not any(node["detached"] for node in roots)


async def test_what_can_t_be_read_is_named(found: Sides, tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path}/none.db"
    done = show(txn(found), "--store", found.a.store_url, "--follow", "--with", nowhere)
    assert done.exit_code == 0
    assert done.stderr.startswith(f"not followed: --with {nowhere}: no audit log at")
    back = show(txn(found), "--config", str(found.b.config), "--follow")
    assert back.stderr == (
        f"not followed: peer a ({GATEWAY_A}): set federation.peers.a.audit, or give --with its store URL\n"
    )
    assert show(txn(found), "--store", found.a.store_url, "--with", nowhere).exit_code == 2
