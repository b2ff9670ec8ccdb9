"""Only a plain, finished file of staging is ever moved out of it."""

import os
import socket
from pathlib import Path

import pytest

from batuta.model.diagnostic import BatutaError
from batuta.runtime.sandbox.publish import take
from tests.kernel import requires_kernel

pytestmark = requires_kernel("linux")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "public").mkdir()
    return folder


def test_finished_files_are_moved_and_missing_ones_passed_over(
    staging: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (staging / name).write_text(name)
    (tmp_path / "public" / "two").write_text("of an earlier run")

    take(staging, ["one", "gone", "two"], tmp_path / "public")

    found = {path.name: path.read_text() for path in (tmp_path / "public").iterdir()}
    assert found == {"one": "one", "two": "two"}
    assert not list(staging.glob("*o*"))


def symlink(staging: Path) -> None:
    (staging / "part").symlink_to(staging.parent / "secret")


def hard_link(staging: Path) -> None:
    (staging / "part").hardlink_to(staging.parent / "secret")


def pipe(staging: Path) -> None:
    os.mkfifo(staging / "part")


def folder(staging: Path) -> None:
    (staging / "part").mkdir()


def nothing(_staging: Path) -> None: ...


@pytest.mark.parametrize(
    ("prepare", "name", "why"),
    [
        (symlink, "part", "symbolic link"),
        (hard_link, "part", "2 names"),
        (pipe, "part", "plain file"),
        (folder, "part", "plain file"),
        (folder, "part/../../secret", "name"),
        (nothing, "../secret", "name"),
        (nothing, "/etc/passwd", "name"),
        (nothing, "part\0", "name"),
        (nothing, "..", "name"),
        (nothing, "", "name"),
    ],
)
def test_anything_else_is_refused(
    staging: Path, prepare: "object", name: str, why: str, tmp_path: Path
) -> None:
    assert callable(prepare)
    prepare(staging)

    with pytest.raises(BatutaError) as refused:
        take(staging, [name], tmp_path / "public")

    assert refused.value.diagnostics[0].code == "EGR204"
    assert why in refused.value.diagnostics[0].detail
    assert not list((tmp_path / "public").iterdir())
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_socket_is_refused(staging: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(staging / "part"))

        with pytest.raises(BatutaError, match="EGR204"):
            take(staging, ["part"], tmp_path / "public")


def test_a_file_that_is_still_written_to_is_refused(staging: Path, tmp_path: Path) -> None:
    with (staging / "part").open("w") as writer:
        writer.write("half")
        writer.flush()

        with pytest.raises(BatutaError) as refused:
            take(staging, ["part"], tmp_path / "public")
    assert "open for writing" in refused.value.diagnostics[0].detail

    take(staging, ["part"], tmp_path / "public")
    assert (tmp_path / "public" / "part").read_text() == "half"
