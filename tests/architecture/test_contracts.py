"""Who may import whom: the contracts hold, and each of them would notice."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.house import ENGINE, ROOT

ROOMS = (
    *("model", "manifest", "core", "connectors", "formats"),
    *("converters", "runtime", "cli", "web"),
)

VIOLATIONS = {
    "core imports runtime": ("core/a.py", "import batuta.runtime"),
    "siblings": ("core/a.py", "import batuta.manifest"),
    "cli beside web": ("web/a.py", "import batuta.cli"),
    "core opens files": ("core/a.py", "import pathlib"),
    "a format reads the clock": ("formats/arrow/a.py", "import time"),
    "model knows pydantic": ("model/a.py", "import pydantic"),
    "platform imports platform": ("connectors/aws/a.py", "import batuta.connectors.local"),
    "format imports format": ("formats/arrow/a.py", "import batuta.formats.parquet"),
    "runtime names a connector": ("runtime/a.py", "import batuta.connectors.aws"),
    "vendor outside client.py": ("connectors/aws/source.py", "import botocore.session"),
    "a new room": ("utils/__init__.py", ""),
}
ALLOWED = {
    "vendor in client.py": ("connectors/aws/client.py", "import botocore.session"),
    "vendor in a service's client.py": ("connectors/aws/s3/client.py", "import obstore"),
    "runtime reads the clock": ("runtime/a.py", "import time"),
    "converter uses a format": ("converters/a.py", "import batuta.formats.arrow"),
}


def _lint(folder: Path) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("lint-imports")
    config = str(ROOT / "pyproject.toml")
    command = [str(program), "--no-cache", "--config", config]
    return subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    package = tmp_path / "batuta"
    sub_rooms = ("connectors/aws", "connectors/aws/s3", "connectors/local")
    for room in ("", *ROOMS, *sub_rooms, "formats/arrow", "formats/parquet"):
        (package / room).mkdir(exist_ok=True)
        (package / room / "__init__.py").touch()
    return tmp_path


def _write(skeleton: Path, name: str, line: str) -> None:
    file = skeleton / "batuta" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(line + "\n")


def test_the_contracts_hold() -> None:
    done = _lint(ENGINE.parent)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", VIOLATIONS)
def test_a_violation_is_noticed(skeleton: Path, case: str) -> None:
    _write(skeleton, *VIOLATIONS[case])

    done = _lint(skeleton)

    assert done.returncode == 1
    assert "BROKEN" in done.stdout, done.stdout + done.stderr


def test_what_is_allowed_passes(skeleton: Path) -> None:
    for file, line in ALLOWED.values():
        _write(skeleton, file, line)

    done = _lint(skeleton)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tool_is_there() -> None:
    assert shutil.which("lint-imports", path=str(Path(sys.executable).parent))
