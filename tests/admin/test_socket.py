"""The override: the gateway's own user, on its host, asked by no policy, and loud on record."""

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from gateway.admin.server import AdminListener, SocketTakenError, reachable
from gateway.app.parts import PartError
from tests.admin.conftest import ANALYST, Desk, configure
from tests.admin.test_access import refusal_of
from tests.company import Company
from tests.gateways import running

AS_NOBODY = """
import http.client, os, socket, sys
os.setgid(65534); os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(b"GET /api/v1/revocations HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n")
answer = b""
while piece := connection.recv(4096):
    answer += piece
print(answer.decode())
"""


async def test_it_needs_no_credentials_and_is_recorded_by_its_name(desk: Desk) -> None:
    assert stat.S_IMODE(desk.socket.stat().st_mode) == 0o600
    async with desk.override() as http:
        made = await http.post("/api/v1/revocations", json=ANALYST)
        assert made.status_code == 201
        assert made.json()["by"] == f"socket:{os.getuid()}"
    [record] = desk.records()
    assert (record.caller.via, record.caller.process) == ("socket", os.getpid())
    assert record.policies == ("socket-override",)


async def test_a_bad_request_is_refused_there_too(desk: Desk) -> None:
    async with desk.override() as http:
        assert refusal_of(await http.post("/api/v1/revocations", json={})) == (400, "message_invalid")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")
async def test_another_user_is_not_answered(tmp_path: Path) -> None:
    company = configure(Company(tmp_path / "c"))
    async with running(company):
        desk = Desk(company)
        # As if somebody had opened the folder and the socket up.
        for place in (*desk.socket.parents[:-1], desk.socket):
            place.chmod(0o777 if place == desk.socket else place.stat().st_mode | 0o755)
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AS_NOBODY, desk.socket, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await other.communicate()
        assert other.returncode == 0
        assert b"revocations" not in output
        assert b"200" not in output
        assert desk.records() == ()


async def test_what_a_killed_gateway_left_is_replaced_and_a_live_one_is_not(company: Company) -> None:
    company.directory.mkdir(exist_ok=True)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(company.directory / "hopgate.db.admin"))
    left.close()
    async with running(company), Desk(company).override() as http:
        assert (await http.get("/api/v1/revocations")).status_code == 200
        other = AdminListener(lambda request: None)  # type: ignore[arg-type,return-value]
        with pytest.raises(SocketTakenError, match="another gateway serves"):
            await other.start_socket(company.directory / "hopgate.db.admin")
        await other.stop()
        assert (await http.get("/api/v1/revocations")).status_code == 200
    assert not (company.directory / "hopgate.db.admin").exists()


async def test_a_file_in_its_place_is_left_alone(company: Company) -> None:
    company.directory.mkdir(exist_ok=True)
    place = company.directory / "hopgate.db.admin"
    place.write_text("mine")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running(company):
            pass
    assert caught.group_contains(PartError, match="listen.admin_socket: .* is there, and no socket")
    assert place.read_text() == "mine"


async def test_a_path_longer_than_an_address_can_hold(tmp_path: Path) -> None:
    company = configure(Company(tmp_path / ("long" * 25)))
    async with running(company):
        desk = Desk(company)
        assert len(str(desk.socket)) > 107
        with reachable(desk.socket) as address:
            _, writer = await asyncio.open_unix_connection(address)
            writer.close()
