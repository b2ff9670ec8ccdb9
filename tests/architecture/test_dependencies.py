"""Packaging, locks and connectors say the same about what batuta needs."""

import ast
import importlib
import pkgutil
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import batuta.connectors
from tests.architecture.house import ROOT, pyproject, python_files, shown

LOCKS = {"requirements.lock": ("build", "dev"), "requirements-run.lock": ("build",)}
ALL_LOCKS = (
    *LOCKS,
    "tests/servers/seaweedfs/requirements.lock",
    "tests/servers/peers/requirements.lock",
)
NO_CONNECTORS = {"all", "keyring"}
LINE = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>.+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def _locked(lock: str) -> dict[str, set[str]]:
    """Return the versions that a lock names for each package, one for each marker."""
    versions: dict[str, set[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if found := LINE.match(line):
            versions.setdefault(found["name"], set()).add(found["version"])
    return versions


def _group(name: str) -> list[str]:
    listed: list[Any] = pyproject()["dependency-groups"][name]
    texts: list[str] = []
    for each in listed:
        texts += [each] if isinstance(each, str) else _group(each["include-group"])
    return texts


def _asked(groups: tuple[str, ...]) -> list[Requirement]:
    project = pyproject()["project"]
    texts = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    for group in groups:
        texts += _group(group)
    requirements = [Requirement(text) for text in texts]
    return [each for each in requirements if each.name != project["name"]]


@pytest.mark.parametrize("lock", ALL_LOCKS)
def test_a_lock_holds_versions_and_hashes_and_nothing_else(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()

    strange = [line for line in lines if not LINE.match(line) and not HASH.match(line)]

    assert strange == []
    assert _locked(lock)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_gives_what_pyproject_asks_for(lock: str) -> None:
    locked = _locked(lock)

    missing = [
        str(asked)
        for asked in _asked(LOCKS[lock])
        if not (versions := locked.get(canonicalize_name(asked.name)))
        or not all(asked.specifier.contains(version) for version in versions)
    ]

    assert missing == []


def test_both_locks_name_the_same_versions() -> None:
    whole, run = (_locked(lock) for lock in LOCKS)

    assert {name: versions for name, versions in run.items() if whole.get(name) != versions} == {}


def test_the_extra_all_is_every_other_extra() -> None:
    extras = pyproject()["project"]["optional-dependencies"]

    assert sorted(extras["all"]) == sorted(f"batuta[{name}]" for name in extras if name != "all")


def test_connectors_and_extras_agree() -> None:
    """Each connector's extra is in pyproject.toml, and each extra there is a connector's."""
    found = pkgutil.iter_modules(batuta.connectors.__path__)
    modules = [importlib.import_module(f"batuta.connectors.{each.name}") for each in found]
    named = {module.CONNECTOR.extra for module in modules if hasattr(module, "CONNECTOR")} - {None}
    offered = set(pyproject()["project"]["optional-dependencies"]) - NO_CONNECTORS

    assert named <= offered
    assert not named or offered <= named


def test_the_engine_imports_only_what_is_declared() -> None:
    """What comes along with another package may leave with its next version."""
    declared = {canonicalize_name(each.name) for each in _asked(())}
    offered = metadata.packages_distributions()

    undeclared = {
        f"{shown(path)}: {name}"
        for path in python_files("engine")
        for name in _top_level_imports(path)
        if name not in sys.stdlib_module_names | {"batuta"}
        and not {canonicalize_name(each) for each in offered.get(name, [])} & declared
    }

    assert sorted(undeclared) == []


def _top_level_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
