"""What must never be in the repository: mocks, paths of one machine, names of package registries."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.house import project_files, python_files, shown

MOCKS = {"mock", "pytest_mock", "unittest.mock"}

# Put together here, so that this file does not find itself.
ONE_MACHINE = re.compile(
    "|".join(
        (
            r"(?<![\w.$}-])/(?:" + "root|work" + r")/",
            "/tmp/" + "bash",
            r"\bpypi\." + "org",
            "python" + "hosted",
            r"registry\." + "npmjs",
        )
    )
)
SECRETS = re.compile(
    "|".join(
        (
            r"\bAKIA[0-9A-Z]{16}\b",
            r"\bghp_[A-Za-z0-9]{36}\b",
            r"\bhf_[A-Za-z0-9]{34}\b",
            r"\bdapi[0-9a-f]{32}\b",
            "-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE " + "KEY-----",
        )
    )
)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _lines() -> Iterator[tuple[str, str]]:
    for path in project_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            yield f"{shown(path)}:{number}", line


def test_nothing_is_mocked() -> None:
    found = [
        shown(path)
        for path in python_files("engine", "tests")
        if any(name in MOCKS or name.startswith("unittest.mock.") for name in _imports(path))
    ]

    assert found == []


def test_no_line_names_one_machine_or_a_package_registry() -> None:
    assert [place for place, line in _lines() if ONE_MACHINE.search(line)] == []


def test_no_line_holds_a_secret() -> None:
    assert [place for place, line in _lines() if SECRETS.search(line)] == []
