import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.secret_references import SecretError, read_or_create, reference_fault, resolve


def test_a_file_without_its_last_line_end(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"two\nlines\r\n")
    assert resolve(f"file:{path}", {}) == b"two\nlines"


def test_a_variable():
    assert resolve("env:OTLP_AUTH", {"OTLP_AUTH": "Basic abc"}) == b"Basic abc"


@pytest.mark.parametrize(
    "reference", ["env:MISSING", "env:EMPTY", "file:/nowhere/at/all", "file:.", "env:", "file:", "abc"]
)
def test_nothing_there_is_an_error(reference):
    with pytest.raises(SecretError):
        resolve(reference, {"EMPTY": ""})


def test_an_empty_file_is_an_error(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(b"\n")
    with pytest.raises(SecretError, match="is empty"):
        resolve(f"file:{path}", {})


@given(st.text(min_size=6).filter(lambda text: not text.startswith(("file:", "env:"))))
def test_a_literal_is_refused_without_being_repeated(literal):
    with pytest.raises(SecretError) as caught:
        resolve(literal, {})
    assert reference_fault(literal) == str(caught.value)
    assert str(caught.value) == reference_fault("another literal altogether")


def test_a_made_file_is_private_and_stays(tmp_path):
    path = tmp_path / "keys" / "sealing"
    assert read_or_create(path, lambda: b"first") == b"first"
    assert read_or_create(path, lambda: b"second") == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["sealing"]


def test_makers_that_start_at_once_agree(tmp_path):
    path = tmp_path / "sealing"
    barrier = threading.Barrier(2)
    results: list[bytes] = []

    def make(content: bytes) -> bytes:
        barrier.wait(5)
        return content

    threads = [
        threading.Thread(target=lambda c=content: results.append(read_or_create(path, lambda: make(c))))
        for content in (b"a", b"b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0] == results[1] == path.read_bytes()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(SecretError, match="can't be created"):
        read_or_create(tmp_path / "file" / "key", lambda: b"k")
