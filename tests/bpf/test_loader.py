"""The C loader run as a program: its answers read, its refusals told, its time limited, nothing left running."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hopgate_bpf.node.loader import LoaderProgram
from hopgate_bpf.rules.image import write_image
from hopgate_bpf.rules.reading import read_document
from hopgate_bpf.rules.refusal import Reason, RefusedError
from tests.bpf.documents import document, written
from tests.bpf.programs import stand_in

IMAGE = write_image(read_document(written(document(generation=6))), {}, {}).content


def loader(folder: Path, seconds: float = 20, program: Path | None = None) -> LoaderProgram:
    return LoaderProgram(program or stand_in(folder), folder / "pins", folder, seconds)


def change(folder: Path, **state: Any) -> None:
    file = folder / "pins"
    file.write_text(json.dumps(json.loads(file.read_text()) | state))


async def test_what_is_asked_is_told_to_the_program(tmp_path: Path) -> None:
    asked = loader(tmp_path)
    await asked.load()
    assert await asked.apply(IMAGE) is not None
    await asked.join("data-analyst", tmp_path / "cg")
    status = await asked.status()
    assert (status.loaded, status.generation, status.detached) == (True, 6, ())
    assert status.whole["joined"] == {str(tmp_path / "cg"): "data-analyst"}
    await asked.leave(tmp_path / "cg")
    assert (await asked.status()).whole["joined"] == {}


async def test_its_refusal_is_told_in_its_words(tmp_path: Path) -> None:
    asked = loader(tmp_path)
    await asked.load()
    change(tmp_path, fails={"apply": "class b: 9999 states"})
    with pytest.raises(RefusedError, match="apply: class b: 9999 states") as caught:
        await asked.apply(IMAGE)
    assert caught.value.reason is Reason.LOADER_REFUSED


async def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    await loader(tmp_path).load()
    change(tmp_path, hangs=["status"])
    with pytest.raises(RefusedError, match=r"status took more than 0\.5 s") as caught:
        await loader(tmp_path, 0.5).status()
    assert caught.value.reason is Reason.LOADER_UNAVAILABLE


@pytest.mark.parametrize("answer", ["", "[]", "no json", '{"generation": "x"}'])
async def test_answers_that_are_none_are_refused(tmp_path: Path, answer: str) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    with pytest.raises(RefusedError) as caught:
        await loader(tmp_path, program=program).status()
    assert caught.value.reason is Reason.LOADER_UNAVAILABLE


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="none: No such file") as caught:
        await loader(tmp_path, program=tmp_path / "none").load()
    assert caught.value.reason is Reason.LOADER_UNAVAILABLE


async def test_events_are_read_line_by_line_and_one_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20), loader(tmp_path).events() as lines:
        while len(found) < 2:
            found.append(json.loads(await anext(lines)))
    assert found == [{"class": "data-analyst", "policy": 0, "generation": 0}, {"second": True}]
