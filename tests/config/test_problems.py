import pytest

from gateway.config.problems import Problem, Problems, nearest, render_key, suggest


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("issuers", 0, "jwks_uri"), "issuers[0].jwks_uri"),
        (("people", "corp|maria", "team"), 'people["corp|maria"].team'),
    ],
)
def test_keys_are_written_as_people_write_them(path, text):
    assert render_key(path) == text


def test_a_problem_is_one_line():
    assert str(Problem("f.yaml", 3, "a.b", "is wrong", "mend it")) == "f.yaml:3: a.b: is wrong (mend it)"
    assert str(Problem("f.yaml", 0, "", "is wrong")) == "f.yaml: is wrong"
    assert str(Problem("f.yaml", 1, "a", "is odd", severity="warning")) == "f.yaml:1: a: warning: is odd"


def test_warnings_are_no_errors():
    odd, wrong = Problem("f", 1, "a", "odd", severity="warning"), Problem("f", 2, "b", "wrong")
    assert Problems((odd, wrong)).errors == (wrong,)
    assert str(Problems((odd, wrong))) == "f:1: a: warning: odd\nf:2: b: wrong"


def test_suggestions():
    assert suggest("hihg", ["low", "high"]) == 'did you mean "high"?'
    assert suggest("zzz", ["low", "high"]) == "known: high, low"
    assert suggest("zzz", []) == ""
    assert suggest("zzz", [f"n{i}" for i in range(20)]).endswith(", …")
    assert suggest("prod", ["production", "development"]) == 'did you mean "production"?'
    assert nearest("PORT", ["port", "host"]) == "port"
