"""The files of the project, as the rules look at them."""

import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "engine" / "batuta"


@cache
def project_files() -> tuple[Path, ...]:
    """Return the files that are, or with the next commit could be, in the repository."""
    # The folder may belong to another user than the one who runs the tests.
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT)]
    command = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in sorted(paths) if path.is_file())


def python_files(*folders: str) -> list[Path]:
    """Return the Python files of the project under these top-level folders."""
    wanted = [ROOT / folder for folder in folders]
    return [
        path
        for path in project_files()
        if path.suffix == ".py" and any(path.is_relative_to(folder) for folder in wanted)
    ]


@cache
def pyproject() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def shown(path: Path) -> str:
    """Return the path as a message shows it."""
    return str(path.relative_to(ROOT))
