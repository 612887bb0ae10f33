import os

from gateway.config.files import FILE_BYTES
from gateway.config.policy_files import read_policies
from gateway.core.policy.source import PolicySource


def test_cedar_files_of_every_depth_sorted_by_path(tmp_path):
    for name in ("teams/b/x.cedar", "teams/a/y.cedar", "guardrails/z.cedar", "README.md", "a.cedarschema"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    sources, problems = read_policies(tmp_path)
    assert sources == (
        PolicySource("guardrails/z.cedar", "guardrails/z.cedar"),
        PolicySource("teams/a/y.cedar", "teams/a/y.cedar"),
        PolicySource("teams/b/x.cedar", "teams/b/x.cedar"),
    )
    assert problems == ()


def test_a_mounted_config_map_is_read_once(tmp_path):
    (tmp_path / "..2026_01_01").mkdir()
    (tmp_path / "..2026_01_01" / "a.cedar").write_text("x")
    os.symlink("..2026_01_01", tmp_path / "..data")
    os.symlink("..data/a.cedar", tmp_path / "a.cedar")
    (tmp_path / ".a.cedar.swp").write_text("editor")
    assert read_policies(tmp_path)[0] == (PolicySource("a.cedar", "x"),)


def test_unreadable_files_are_all_named(tmp_path):
    (tmp_path / "a.cedar").write_bytes(b"\xff")
    (tmp_path / "b.cedar").write_bytes(b" " * (FILE_BYTES + 1))
    os.symlink("nowhere", tmp_path / "c.cedar")
    _, problems = read_policies(tmp_path)
    assert [problem.severity for problem in problems] == ["error"] * 3
    assert "not UTF-8" in problems[0].message
    assert "larger than" in problems[1].message
    assert "there is no file" in problems[2].message
