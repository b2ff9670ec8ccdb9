"""The workspace that most of these tests begin with."""

from pathlib import Path

import pytest

from tests.acceptance.labels.shell import PUBLIC, SECRET, Shell, public, sovereign


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("BATUTA_ACTOR", "maria")
    monkeypatch.chdir(folder)
    return Shell(folder)


@pytest.fixture
def home(shell: Shell) -> Shell:
    """A key, a sovereign dataset `model`, a public one `web`, and a copy `mine` of the first."""
    shell.table("secret", SECRET)
    shell.table("download", PUBLIC)
    shell.write({"model": sovereign("secret/", "model/"), "web": public("download/", "web/")})
    shell.well("keys", "generate")
    shell.well("apply", "--yes")
    shell.well("data", "sync", "model/", "mine/", "--format", "parquet", "--yes")
    return shell
