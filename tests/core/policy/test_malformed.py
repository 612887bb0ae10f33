"""The corpus of malformed bundles: each is refused with exactly the problems that stand below it.

A file of the corpus: ``== path`` before the text of each policy file, ``== problems`` before what is said.
"""

from pathlib import Path

import pytest

from gateway.core.policy.bundle import PolicySource, compile_bundle

CORPUS = sorted(Path(__file__).with_name("malformed").glob("*.txt"))


def parts(text):
    found = [part.partition("\n") for part in ("\n" + text).split("\n== ")[1:]]
    return {name: body + "\n" for name, _, body in found}


def test_there_are_fifty_or_more():
    assert len(CORPUS) >= 50


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_every_problem_is_told_at_its_place(kit, firm, file):
    texts = parts(file.read_text())
    expected = texts.pop("problems").strip().split("\n")
    bundle = compile_bundle([PolicySource(path, text) for path, text in texts.items()], kit.SCHEMA, firm)
    assert isinstance(bundle, tuple), "the bundle loaded"
    assert [str(problem) for problem in bundle] == expected
