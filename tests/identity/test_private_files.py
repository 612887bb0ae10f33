import stat
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from gateway.identity.private_files import ensure_private, write_private


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_written_for_the_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"old")
    file.chmod(0o644)
    write_private(file, b"new")
    assert (file.read_bytes(), mode(file)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_made_once(tmp_path: Path) -> None:
    made = count()
    contents = {ensure_private(tmp_path / "key", lambda: b"%d" % next(made)) for _ in range(3)}
    assert contents == {b"0"}
    assert mode(tmp_path / "key") == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_many_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        contents = set(pool.map(lambda n: ensure_private(tmp_path / "key", lambda: b"%d" % n), range(32)))
    assert len(contents) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    directory = tmp_path / "key"
    directory.mkdir()
    with pytest.raises(OSError):
        write_private(directory, b"new")
    assert list(tmp_path.iterdir()) == [directory]


def test_absent_directories_are_errors(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        ensure_private(tmp_path / "absent" / "key", lambda: b"")
