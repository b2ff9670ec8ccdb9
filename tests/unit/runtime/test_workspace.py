"""Which files of a workspace are manifests."""

import os
import sys
from pathlib import Path

import pytest

from batuta.runtime.workspace import manifest_files

FILES = (
    "batuta.yaml", "top.yaml", "data/a.yaml", "data/deep/b.yaml", "database/c.yaml", "dat.yaml",
    "teams/x/one.yaml", "teams/x/sub/two.yaml", "teams/y/three.yaml", "teams/y/three.yml",
    ".hidden/d.yaml", "teams/.e.yaml", "environments/prod/f.yaml", "teams/environments/g.yaml",
)  # fmt: skip


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["batuta.yaml"], ["batuta.yaml"]),
        (["data/**/*.yaml"], ["data/a.yaml", "data/deep/b.yaml"]),
        (["data/*.yaml"], ["data/a.yaml", "data/deep/b.yaml"]),
        (["data*/*.yaml"], ["data/a.yaml", "data/deep/b.yaml", "database/c.yaml"]),
        (["teams/[x]/*.yaml"], ["teams/x/one.yaml", "teams/x/sub/two.yaml"]),
        (["teams/?/three.yaml", "top.yaml"], ["teams/y/three.yaml", "top.yaml"]),
        (["teams/x/one.yaml"], ["teams/x/one.yaml"]),
        (["**/environments/*.yaml"], ["teams/environments/g.yaml"]),
        (["nowhere/**/*.yaml"], []),
        ([], []),
    ],
)
def test_globs_take_what_they_name(tmp_path: Path, patterns: list[str], found: list[str]) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert manifest_files(tmp_path, patterns) == found


def test_folders_that_no_glob_leads_into_are_not_listed(tmp_path: Path) -> None:
    for name in ("teams/x", "out/orders/_log", "data"):
        (tmp_path / name).mkdir(parents=True)
    listed: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.scandir" and str(arguments[0]).startswith(str(tmp_path)):
            listed.append(os.path.relpath(str(arguments[0]), tmp_path))

    sys.addaudithook(note)
    manifest_files(tmp_path, ["teams/**/*.yaml"])

    assert listed == [".", "teams", "teams/x"]
