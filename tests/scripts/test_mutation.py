"""The page of living mutants: figures are counted honestly, and a reason finds its mutant whatever its number."""

import json
from pathlib import Path

from scripts.mutation import Alive, page, readable, reasons

CODE = '''
def x_begin__mutmut_orig(now, end):
    """Says when."""
    if now >= end:
        raise ValueError("over")
    return f(now, end)


def x_begin__mutmut_1(now, end):
    """Says when."""
    if now > end:
        raise ValueError("over")
    return f(now, end)


def x_begin__mutmut_2(now, end):
    """Says when."""
    if now >= end:
        raise ValueError("over")
    return f(now, )
'''


def mutants(directory: Path, **codes: int | None) -> Path:
    file = directory / "mutants" / "gateway" / "core" / "scope.py"
    file.parent.mkdir(parents=True)
    file.write_text(CODE)
    found = {f"gateway.core.scope.x_begin__mutmut_{name.removeprefix('m')}": code for name, code in codes.items()}
    file.with_name("scope.py.meta").write_text(json.dumps({"exit_code_by_key": found}))
    file.with_name("__init__.py.meta").write_text('{"exit_code_by_key": {}}')
    return directory / "mutants"


def test_what_was_not_killed_counts_whatever_became_of_it(tmp_path: Path) -> None:
    made = mutants(tmp_path, m1=0, m2=33, m3=1, m4=3, m5=24, m6=-11, m7=None, m8=1)
    text = page(made, {}, "abc", "2026-01-02")
    assert "| `gateway/core/scope.py` | 8 | 3 | 1 | 1 | 1 | 1 | 1 | 57.1 |" in text
    assert "Of 2026-01-02, commit `abc`, 7 of 8 mutants run: **57.1 % killed**." in text


def test_living_mutants_are_listed_with_their_reason(tmp_path: Path) -> None:
    made = mutants(tmp_path, m1=0, m2=33, m3=1)
    why = {Alive("gateway/core/scope.py", "begin", "if now > end:"): "the same at every whole second"}
    text = page(made, why, "abc", "2026-01-02")
    assert "- `begin`: `if now > end:` — the same at every whole second" in text
    assert "- `begin`: `return f(now, )` — no test tells it apart yet" in text
    assert "all 3 mutants run: **33.3 % killed**" in text


def test_reasons_are_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "reasons.toml"
    file.write_text('[[mutant]]\nfile = "f"\nfunction = "g"\nline = "x"\nreason = "y"\n')
    assert reasons(file) == {Alive("f", "g", "x"): "y"}
    assert all(reason for reason in reasons().values())


def test_names_are_those_of_the_source() -> None:
    assert readable("xǁTokenVerifierǁverify") == "TokenVerifier.verify"
    assert readable("x__bearer") == "_bearer"
