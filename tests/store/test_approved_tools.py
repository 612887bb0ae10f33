"""Approved definitions read at once: those of the data path, none where no gateway ever ran, or an error."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from gateway.core.errors import StoreError
from gateway.core.pins import Definition
from gateway.store.approved_tools import approved_tools
from gateway.store.state import open_state
from gateway.store.tool_pins import SqlToolPins

ONE, OTHER = Definition("sha256:1", b'{"n":1}'), Definition("sha256:2", b'{"n":2}')


async def test_only_what_is_approved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hopgate.db"
    state = await open_state(f"sqlite:///{path}")
    pins = SqlToolPins(state)
    assert approved_tools(path) == {}
    await pins.keep_first("s", "t", ONE)
    await pins.report("s", "t", OTHER)
    await pins.report("s", "u", OTHER)
    assert approved_tools(path) == {("s", "t"): ONE}
    await pins.approve("s", "t", OTHER)
    assert approved_tools(path) == {("s", "t"): OTHER}
    await state.dispose()


def test_a_gateway_that_never_ran_approved_nothing(tmp_path: Path) -> None:
    assert approved_tools(tmp_path / "none.db") == {}
    assert not (tmp_path / "none.db").exists()
    engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    with engine.begin() as connection:
        connection.execute(text("create table other (x)"))
    engine.dispose()
    assert approved_tools(tmp_path / "old.db") == {}


def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"not a database, however long this text may be" * 50)
    with pytest.raises(StoreError, match=r"broken\.db"):
        approved_tools(tmp_path / "broken.db")
