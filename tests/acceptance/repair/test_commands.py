"""Commands lead on: what they print can be typed, and a one-line command is no dead end."""

import shlex
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tests.acceptance.labels.shell import Shell

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", "c"]})
WIDER = ROWS.append_column("new", pa.array([1, 2, 3]))
Env = pytest.MonkeyPatch


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: Env) -> Shell:
    """No workspace: only a folder with a source."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shell = Shell(tmp_path)
    shell.table("src", ROWS)
    return shell


def part_of(folder: Path) -> Path:
    return next(p for p in sorted(folder.iterdir()) if p.is_file())


def printed(shell: Shell, beginning: str) -> list[str]:
    """The command that the last one printed to be copied, as words after `batuta`."""
    lines = [line.strip() for line in (shell.out + shell.err).splitlines()]
    found = [line for line in lines if line.startswith(beginning)]
    assert found, shell.said
    return shlex.split(found[-1])[1:]


# One-line commands whose destination is gone or spoilt


@pytest.mark.parametrize("damage", ["gone", "spoilt"])
def test_a_one_line_sync_mends_its_destination(shell: Shell, damage: str) -> None:
    shell.well("data", "sync", "src/", "out/", "--format", "parquet")
    if damage == "gone":
        shutil.rmtree(shell.folder / "out")
    else:
        part_of(shell.folder / "out").write_bytes(b"")

    assert shell("data", "sync", "src/", "out/") != 0
    assert "typing the command again with `--resync`" in shell.said

    shell.well("data", "sync", "src/", "out/", "--resync")
    shell.well("data", "verify", "out/")
    assert shell.well("data", "sync", "src/", "out/").startswith("No changes")


@pytest.mark.parametrize("damage", ["shorter", "edited"])
def test_without_a_workspace_no_way_out_names_a_command_that_needs_one(
    shell: Shell, damage: str
) -> None:
    shell.well("data", "sync", "src/", "out/", "--format", "ald")
    part = part_of(shell.folder / "out")
    content = part.read_bytes()
    at = len(content) // 2
    edited = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    part.write_bytes(content[:-5] if damage == "shorter" else edited)

    shell.table("more", ROWS)
    for text in (
        "data verify out/", "label verify out/", "data cat out/", "data sync src/ out/",
        "data merge out/ more/ --yes",
    ):  # fmt: skip
        code = shell(*text.split())
        if code == 0:
            assert (text, damage) == ("data sync src/ out/", "edited")  # it reads nothing it keeps
            continue
        assert "batuta apply" not in shell.said
        assert "again with `--resync`" in shell.said
    if damage == "edited":
        assert shell("data", "sync", f"out/{part.name}", "far/", "--format", "parquet") != 0
        assert "FMT141" in shell.said
        assert "batuta apply" not in shell.said


def test_what_a_command_made_in_a_workspace_is_mended_by_that_command(shell: Shell) -> None:
    shell.write({})
    shell.well("data", "sync", "src/", "out/", "--format", "ald")
    part = part_of(shell.folder / "out")
    part.write_bytes(part.read_bytes()[:-5])

    for command in ("data", "label"):
        assert shell(command, "verify", "out/") != 0
        assert "batuta apply" not in shell.said
        assert "again with `--resync`" in shell.said


def test_a_one_line_sync_is_released_by_its_place(shell: Shell) -> None:
    shell.well("data", "sync", "src/", "out/")
    shutil.rmtree(shell.folder / "out")
    assert shell("data", "sync", "src/", "out/") != 0
    assert "`batuta release out/`" in shell.said

    shell.well("release", "out/", "--yes")

    shell.well("data", "sync", "src/", "out/")


def test_what_was_imported_without_a_workspace_can_be_released(shell: Shell) -> None:
    said = shell.well("import", "src/", "--yes")
    assert "`batuta release src/`" in said

    assert shell("destroy", "src", "--yes") != 0
    assert "PLN112" in shell.said
    shell.well("release", "src", "--yes")

    assert (shell.folder / "src" / "rows.parquet").exists()


@pytest.mark.parametrize("command", ["release", "destroy"])
def test_a_place_that_no_state_knows_is_answered_with_where_to_type_it(
    shell: Shell, command: str
) -> None:
    shell.well("data", "sync", "src/", "out/")

    for where in ("nope", str(shell.folder / "out")):
        assert shell(command, where, "--yes") == 3
        assert shell.err.startswith("error[DAT103]")
        assert "Go to the folder in which it was made" in shell.said
        assert shell.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["data", "sync", "src/", "out/", "--dry-run"],
        ["data", "sync", "src/", "out/", "--print-manifest"],
        ["data", "log", "copied/"],
        ["data", "cat", "copied/"],
        ["data", "verify", "copied/"],
        ["label", "show", "copied/"],
        ["label", "verify", "copied/"],
        ["release", "nope/"],
        ["import", "src/"],
    ],
    ids=" ".join,
)
def test_what_only_looks_leaves_no_state_where_none_was(shell: Shell, words: list[str]) -> None:
    shell.well("data", "sync", "src/", "out/", "--format", "parquet")
    shutil.copytree(shell.folder / "out", shell.folder / "copied")
    states = shell.folder / "state"
    shutil.rmtree(states)
    shutil.rmtree(shell.folder / "out")

    code = shell(*words)

    assert code == (3 if words[0] in ("release", "import") else 0), shell.said
    assert not states.exists()


def test_a_dry_run_that_a_person_goes_on_with_keeps_its_state(shell: Shell) -> None:
    shell.well("data", "sync", "src/", "out/", "--dry-run", answers=["y\n"])

    assert [path.name for path in (shell.folder / "state").rglob("state.db")] == ["state.db"]
    shell.well("destroy", "out/", "--yes")


# What a sync wrote can be synced on


def test_a_sync_of_files_that_batuta_wrote_is_not_refused_for_the_names_of_its_log(
    shell: Shell,
) -> None:
    shell.well("data", "sync", "src/", "there/")
    (shell.folder / "src" / "rows.parquet").write_bytes(b"another content")
    shell.well("data", "sync", "src/", "there/")
    assert (shell.folder / "there" / "_history").is_dir()

    shell.well("data", "sync", "there/", "back/")

    assert [p.name for p in (shell.folder / "back").rglob("*.parquet")] == ["rows.parquet"]
    assert (shell.folder / "back" / "rows.parquet").read_bytes() == b"another content"
    shell.well("data", "verify", "back/")
    assert shell.well("data", "sync", "there/", "back/").startswith("No changes")


def test_a_folder_that_somebody_else_calls_log_is_still_refused(shell: Shell) -> None:
    (shell.folder / "src" / "_log").mkdir()
    (shell.folder / "src" / "_log" / "access.txt").write_text("GET /")

    assert shell("data", "sync", "src/", "out/") != 0
    assert "LOG111" in shell.said


# What nobody asked to change stays as the log records it


def test_a_second_sync_without_a_format_keeps_the_recorded_one(shell: Shell) -> None:
    shell.well("data", "sync", "src/", "out/", "--format", "parquet")
    (shell.folder / "src").rename(shell.folder / "old")
    shell.table("src", WIDER)

    code = shell("data", "sync", "src/", "out/")

    assert code == 13, shell.said  # the schema drifted, and a format that changed would hide it
    shell.well("data", "sync", "src/", "out/", "--on-drift", "Apply")
    assert part_of(shell.folder / "out").suffix == ".parquet"
    assert "format: parquet" in shell.well("data", "sync", "src/", "out/", "--print-manifest")


def test_another_format_is_written_where_it_is_asked_for(shell: Shell) -> None:
    shell.well("data", "sync", "src/", "out/", "--format", "parquet")

    shell.well("data", "sync", "src/", "out/", "--format", "ald")

    assert part_of(shell.folder / "out").suffix == ".ald"


def test_a_folder_with_and_without_its_slash_is_one_source(shell: Shell) -> None:
    shell.well("data", "sync", "src/", "out/", "--format", "parquet")

    assert shell.well("data", "sync", "src", "out").startswith("No changes")


# Commands to be copied


def test_the_command_that_a_plan_prints_makes_that_plan_true(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.table("src", ROWS)
    shell.table("other", ROWS)
    spec = {"source": "${var.from}/", "format": "parquet"}
    shell.write({"one": {**spec, "destination": "one/"}, "two": {**spec, "destination": "two/"}})
    text = (tmp_path / "batuta.yaml").read_text()
    spec_of_workspace = '"spec": {"variables": {"from": {"type": "string"}}}'
    (tmp_path / "batuta.yaml").write_text(text.replace('"spec": {}', spec_of_workspace, 1))
    flags = ["--var", "from=src", "--select", "one", "--resync", "one", "--on-drift", "Apply"]
    shell.well("plan", *flags)

    assert printed(shell, "batuta apply") == ["apply", *flags]

    shell.well(*printed(shell, "batuta apply"), "--yes")
    assert (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()
    assert shell("apply", *flags) != 0
    assert printed(shell, "batuta apply --var") == ["apply", *flags, "--yes"]
    assert printed(shell, "batuta plan") == ["plan", *flags, "--out", "plan.json"]


def test_a_removal_is_agreed_to_by_its_own_command(shell: Shell) -> None:
    """A plan that is saved could not do it."""
    shell.well("data", "sync", "src/", "out/")

    assert shell("release", "out/") != 0
    assert printed(shell, "batuta") == ["release", "out/", "--yes"]


# Misspelt names


@pytest.fixture
def named(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.table("src", ROWS)
    shell.write({"orders": {"source": "src/", "destination": "out/", "format": "parquet"}})
    return shell


@pytest.mark.parametrize("flag", ["--resync", "--select", "--exclude", "--allow-data-loss"])
def test_a_misspelt_name_after_a_flag_is_an_error_with_the_nearest_one(
    named: Shell, flag: str
) -> None:
    assert named("apply", "--yes", flag, "ordres") != 0
    assert "PLN117" in named.said
    assert "'orders'" in named.said
    assert not (named.folder / "out").exists()


def test_a_resync_takes_selectors(named: Shell) -> None:
    named.well("apply", "--yes")

    assert "resync" in named.well("plan", "--resync", "ord*").replace("re-sync", "resync")


@pytest.mark.parametrize(
    "command", [["data", "verify"], ["data", "cat"], ["data", "log"], ["label", "show"], ["audit"]]
)
def test_a_misspelt_dataset_is_answered_with_the_nearest_one(
    named: Shell, command: list[str]
) -> None:
    assert named(*command, "ordres") != 0
    assert "`orders`" in named.said

    assert named(*command, "orders") != 0
    assert "not applied yet" in named.said


@pytest.mark.parametrize("command", [["label", "show"], ["label", "history"], ["audit"]])
def test_a_name_of_nothing_is_all_that_is_said(named: Shell, command: list[str]) -> None:
    """Neither a key nor a sync would help who named what is not there."""
    assert named(*command, "nope") != 0
    assert named.err.startswith(("error[LBL101]", "error[AUD104]"))
    assert "Name a dataset of the manifests, or a folder that batuta wrote." in named.said
    assert "KEY105" not in named.said
    assert "data sync" not in named.said
