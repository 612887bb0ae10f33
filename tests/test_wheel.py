"""The wheel holds what the gateway needs at run time, and nothing of the demo or the tests."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_is_whole(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("hopgate-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(path.relative_to(ROOT)) for path in ROOT.glob("gateway/**/*.py")}
    assert sources <= names
    assert {"gateway/schemas/gateway.cedarschema", "gateway/schemas/config.schema.json"} <= names
    assert not [name for name in names if not name.startswith(("gateway/", "hopgate-"))]
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    script = "import gateway.publish as p; print(len(p.cedar_schema()), p.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r}); {script}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    size, file = done.stdout.split()
    assert int(size) == len((ROOT / "schemas" / "gateway.cedarschema").read_text())
    assert file.startswith(str(unpacked))
