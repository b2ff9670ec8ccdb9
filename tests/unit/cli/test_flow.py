"""Commands from end to end on a workspace of this machine, with and without a person."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from batuta.cli.commands.init import EXAMPLE, WORKSPACE
from batuta.cli.main import main
from batuta.manifest.format import format_text
from tests.unit.cli.terminal import app_in, written


class Shell:
    """Runs commands in one folder and keeps what the last one said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = self.err = ""

    def __call__(self, *arguments: str, answers: Iterable[str] | None = None) -> int:
        app = app_in(self.folder, answers)
        code = main(list(arguments), app)
        self.out, self.err = written(app.out), written(app.err)
        return code


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(folder)
    return Shell(folder)


@pytest.fixture
def workspace(shell: Shell) -> Shell:
    assert shell("init") == 0
    return shell


def test_init_writes_a_workspace_that_is_valid_and_in_the_one_layout(workspace: Shell) -> None:
    assert workspace("validate") == 0
    assert "2 files valid, 1 dataset" in workspace.out
    for text in (WORKSPACE.replace("{name}", "shop"), EXAMPLE):
        assert "yaml-language-server: $schema=" in text
        assert format_text("x.yaml", text.encode()) == (text.encode(), [])


def test_validate_says_that_what_may_go_where_is_not_its_matter(workspace: Shell) -> None:
    assert workspace("validate") == 0
    line = "  what tiers and egress policies allow (offline as well: batuta plan --refresh=none)"
    assert workspace.out.splitlines()[-1] == line
    assert workspace.out.count("not checked") == workspace.out.count("not checked (3):") == 1


def test_init_never_writes_over_a_file(shell: Shell) -> None:
    (shell.folder / ".gitignore").write_text("mine\n")
    assert shell("init") == 0
    assert (shell.folder / ".gitignore").read_text() == "mine\n"
    before = {p: p.read_bytes() for p in shell.folder.rglob("*") if p.is_file()}
    assert shell("init") == 1
    assert "CLI110" in shell.err
    assert before == {p: p.read_bytes() for p in shell.folder.rglob("*") if p.is_file()}


def test_plan_apply_and_then_nothing_more_to_do(workspace: Shell) -> None:
    assert workspace("plan", "--out", "plan.json", "--detailed-exitcode") == 2
    assert workspace.out.rstrip().endswith("batuta apply plan.json")
    assert workspace("apply", "plan.json", "--events", "events.jsonl") == 0
    assert "apply done: 1 of 1 action done" in workspace.out
    copied = workspace.folder / "out/example/example.csv"
    assert copied.read_bytes() == (workspace.folder / "data/example/example.csv").read_bytes()
    kinds = [json.loads(row)["kind"] for row in Path("events.jsonl").read_text().splitlines()]
    assert kinds[-1] == "run-finished"
    assert workspace("plan", "--detailed-exitcode") == 0
    assert workspace.out.startswith("No changes: 1 dataset as wanted")
    for command in (["state", "list"], ["state", "show", "example"], ["data", "log", "example"]):
        assert workspace(*command) == 0
        assert "example" in workspace.out or "create" in workspace.out


def test_the_json_forms_are_one_document_and_parse_as_the_saved_plan(workspace: Shell) -> None:
    assert workspace("plan", "--format", "json", "--json-into", "b.json", "--out", "a.json") == 0
    printed = json.loads(workspace.out)
    assert printed == json.loads(Path("b.json").read_text())
    saved = json.loads(Path("a.json").read_text())
    assert saved["plan"] == printed["plan"]
    assert saved["digest"] == printed["digest"]


def test_apply_without_a_plan_and_without_a_person_needs_yes(workspace: Shell) -> None:
    assert workspace("apply") == 3
    assert "CLI104" in workspace.err
    assert not (workspace.folder / "out").exists()
    assert workspace("apply", "--yes") == 0


def test_a_person_is_asked_once_and_anything_but_yes_applies_nothing(workspace: Shell) -> None:
    for answer in ("n\n", "\n", "", "what\n"):
        assert workspace("apply", answers=[answer]) == 9
        assert "Nothing was applied." in workspace.err
    assert not (workspace.folder / "out").exists()
    assert workspace("apply", answers=["y\n"]) == 0
    assert workspace.err.count("[y/N]: ") == 1


def test_only_the_approved_digest_is_applied(workspace: Shell) -> None:
    assert workspace("plan", "--out", "p.json") == 0
    digest = json.loads(Path("p.json").read_text())["digest"]
    for wrong in ("0" * 64, digest[:8]):
        assert workspace("apply", "p.json", "--approve-digest", wrong) == 6
        assert "CLI105" in workspace.err
    assert workspace("apply", "p.json", "--approve-digest", digest[:16]) == 0


def test_a_saved_plan_takes_no_flags_that_would_change_it(workspace: Shell) -> None:
    assert workspace("plan", "--out", "p.json") == 0
    assert workspace("apply", "p.json", "--select", "example") == 3
    assert workspace("apply", "no-such-plan.json") == 3


def test_a_comment_is_printed_within_its_budget(workspace: Shell) -> None:
    assert workspace("plan", "--format", "markdown", "--max-bytes", "2048") == 0
    assert len(workspace.out.encode()) <= 2048
    assert workspace.out.startswith("<!-- batuta:")
    assert workspace("plan", "--format", "markdown", "--max-bytes", "gitlab") == 0
    assert workspace("plan", "--format", "markdown", "--max-bytes", "17") == 3


def test_errors_in_manifests_show_their_line_and_end_with_3(workspace: Shell) -> None:
    (workspace.folder / "datasets/bad.yaml").write_text(
        "apiVersion: batuta.dev/v1\nkind: Dataset\nmetadata: {name: bad}\n"
        "spec: {sorce: data/, destination: out/bad/}\n"
    )
    for command in (["plan"], ["validate"], ["apply", "--yes"]):
        assert workspace(*command) == 3
        said = workspace.out + workspace.err
        assert "datasets/bad.yaml:4:8" in said
        assert "spec: {sorce: data/" in said
    assert workspace("validate", "--format", "json") == 3
    assert json.loads(workspace.out)["diagnostics"][0]["locations"][0]["line"] == 4


def test_a_plan_that_cannot_be_saved_is_no_bug(workspace: Shell) -> None:
    (workspace.folder / "file").write_text("")
    assert workspace("plan", "--out", "file/plan.json") == 1
    assert "CLI103" in workspace.err
    assert workspace("plan", "--json-into", "file/plan.json") == 1


@pytest.mark.parametrize("changes", [True, False])
def test_a_plan_is_not_saved_in_a_folder_that_is_not_there(workspace: Shell, changes: bool) -> None:
    if not changes:
        assert workspace("apply", "--yes") == 0
    assert workspace("plan", "--out", "nodir/plan.json") == 1
    assert "CLI103" in workspace.err
    assert not (workspace.folder / "nodir").exists()


def sync(shell: Shell, *flags: str, answers: Iterable[str] | None = None) -> int:
    return shell("data", "sync", "data/", "out/", "--format", "parquet", *flags, answers=answers)


@pytest.fixture
def table(shell: Shell) -> Shell:
    """A folder without a workspace, with a table that was synced once."""
    (shell.folder / "data").mkdir()
    (shell.folder / "data/t.csv").write_text("id,name\n1,x\n2,y\n")
    assert sync(shell) == 0
    return shell


def drop_a_column(shell: Shell) -> None:
    (shell.folder / "data/t.csv").write_text("id,place\n1,q\n2,r\n")


def test_sync_works_in_an_empty_folder_and_asks_nothing_where_nothing_is_at_stake(
    table: Shell,
) -> None:
    assert table("data", "cat", "out/") == 0
    assert table.out == "id,name\r\n1,x\r\n2,y\r\n"
    assert table("data", "verify", "out/") == 0
    assert sync(table) == 0
    assert table.out.startswith("No changes")
    assert not (table.folder / ".batuta").exists()


def test_a_dry_run_changes_nothing_and_ends_with_the_question_only_for_a_person(
    shell: Shell,
) -> None:
    (shell.folder / "data").mkdir()
    (shell.folder / "data/t.csv").write_text("id\n1\n")
    assert sync(shell, "--dry-run") == 0
    assert "[y/N]" not in shell.err
    assert sync(shell, "--dry-run", answers=["n\n"]) == 0
    assert "Proceed with sync? [y/N]:" in shell.err
    assert not (shell.folder / "out").exists()
    assert sync(shell, "--dry-run", answers=["y\n"]) == 0
    assert (shell.folder / "out/_log").is_dir()


@pytest.mark.parametrize("where", ["data/in/", "here/in/", "data/../data/in/", "{folder}/data/in"])
def test_a_folder_is_never_copied_into_itself(shell: Shell, where: str) -> None:
    (shell.folder / "data").mkdir()
    (shell.folder / "here").symlink_to("data")
    (shell.folder / "data/t.csv").write_text("id\n1\n")
    assert shell("data", "sync", "./data/", where.format(folder=shell.folder), "--yes") == 3
    assert "PLN128" in shell.out
    assert [path.name for path in (shell.folder / "data").iterdir()] == ["t.csv"]


def test_a_table_is_not_merged_with_itself(table: Shell) -> None:
    assert table("data", "merge", "out/", "./out", "--yes") == 3
    assert "PLN144" in table.out
    assert table("data", "cat", "out/") == 0
    assert table.out.split() == ["id,name", "1,x", "2,y"]


def test_the_printed_manifest_gives_the_plan_that_the_command_gives(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    (shell.folder / "data/t.csv").write_text("id\n1\n")
    assert sync(shell, "--print-manifest") == 0
    manifest = shell.out
    assert sync(shell, "--dry-run") == 0
    of_command = shell.out
    (shell.folder / "batuta.yaml").write_text(
        "apiVersion: batuta.dev/v1\nkind: Workspace\nmetadata: {name: default}\nspec: {}\n---\n"
        + manifest
    )
    assert shell("plan") == 0
    changes = [text.split("Changes, worst first")[1] for text in (of_command, shell.out)]
    facts = [
        [row for row in text.splitlines() if row.lstrip().startswith(("data:", "tier:", "work:"))]
        for text in changes
    ]
    assert facts[0] == facts[1]
    assert len(facts[0]) == 3


def test_drift_without_a_person_stops_with_13(table: Shell) -> None:
    drop_a_column(table)
    assert sync(table) == 13
    assert sync(table, "--yes") == 13
    assert table("data", "cat", "out/") == 0
    assert table.out.startswith("id,name")


@pytest.mark.parametrize(
    ("answers", "code", "header"),
    [
        (["Q\n"], 13, "id,name"),
        ([""], 13, "id,name"),
        (["S\n"], 0, "id,name"),
        (["?\n", "a\n"], 0, "id,place"),
    ],
)
def test_drift_is_asked_of_a_person_and_the_answer_is_done(
    table: Shell, answers: list[str], code: int, header: str
) -> None:
    drop_a_column(table)
    assert sync(table, answers=answers) == code
    assert "Schema Drift Detected!" in table.err
    assert table("data", "cat", "out/") == 0
    assert table.out.startswith(header)


def test_a_wrong_key_is_answered_with_those_that_are_offered(table: Shell) -> None:
    drop_a_column(table)
    assert sync(table, answers=["x", "q"]) == 13
    assert "`X` is not offered. Type one of A, S, F, Q." in table.err


def test_a_policy_on_the_command_line_does_not_lose_data_without_its_name(table: Shell) -> None:
    drop_a_column(table)
    assert sync(table, "--on-drift", "Apply", "--yes") == 13
    assert "CLI106" in table.err
    name = table.err.partition("--allow-data-loss '")[2].partition("'")[0]
    assert name.startswith("Dataset/out-")
    assert sync(table, "--on-drift", "apply", "--allow-data-loss", name) == 0


def test_destroy_lists_what_goes_and_asks(workspace: Shell) -> None:
    assert workspace("apply", "--yes") == 0
    (workspace.folder / "datasets/example.yaml").unlink()
    (workspace.folder / "batuta.yaml").write_text(
        "apiVersion: batuta.dev/v1\nkind: Workspace\nmetadata: {name: shop}\n"
        "spec: {limits: {deletes: 1}}\n"
    )
    assert workspace("destroy", "example", answers=["n\n"]) == 9
    assert "example.csv" in workspace.out
    assert (workspace.folder / "out/example/example.csv").exists()
    assert workspace("destroy", "example", answers=["y\n"]) == 0
    assert not (workspace.folder / "out/example/example.csv").exists()


def test_destroy_lists_files_of_earlier_versions_and_asks_for_no_consent_it_has(
    table: Shell,
) -> None:
    (table.folder / "data/t.csv").write_text("id,name\n1,x\n2,z\n")
    assert sync(table) == 0
    there = sorted(p.relative_to(table.folder / "out") for p in files_of(table.folder / "out"))
    listed = [str(path) for path in there if not str(path).startswith("_log")]
    assert any(path.startswith("_history/") for path in listed)

    assert table("destroy", "out/") == 3
    assert "CLI104" in table.err

    assert "deletes 1 file, 2 rows, and 1 file of earlier versions, with the log:" in table.out
    assert all(path in table.out for path in listed)
    assert "allowed already" in table.out
    assert "--allow-data-loss" not in table.out + table.err
    assert table("destroy", "out/", "--yes") == 0
    assert "2 files" in table.out.rpartition("done: 1")[2]
    assert files_of(table.folder / "out") == []


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_loss_that_was_chosen_at_the_question_is_not_to_be_allowed_again(table: Shell) -> None:
    drop_a_column(table)
    assert sync(table, answers=["f\n"]) == 0
    assert "allowed already" in table.out
    assert "--allow-data-loss" not in table.out + table.err


def test_a_dry_run_names_a_loss_once_in_the_command_that_goes_on(table: Shell) -> None:
    drop_a_column(table)
    flags = ("--on-drift", "Apply")
    assert sync(table, *flags, "--dry-run") == 0
    name = table.out.partition("--allow-data-loss '")[2].partition("'")[0]
    assert sync(table, *flags, "--dry-run", "--allow-data-loss", name) == 0
    assert table.out.count("--allow-data-loss") == 1
    assert table.out.rstrip().splitlines()[-1].count(name) == 1


def test_a_run_that_was_not_is_an_error_with_the_nearest_one(workspace: Shell) -> None:
    assert workspace("runs", "nosuch") == 3
    assert "CLI114" in workspace.err
    assert "batuta runs" in workspace.err
    assert workspace("apply", "--yes") == 0
    assert workspace("runs") == 0
    run = workspace.out.splitlines()[1].split()[0]
    assert workspace("runs", run[:-1] + "x") == 3
    assert f"The nearest is {run}." in workspace.err
    assert workspace("runs", run) == 0
    assert "Dataset/example" in workspace.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "--select", "nope"), "no platform was read"),
        (("plan", "--refresh=none"), "no platform was read"),
        (("destroy", "example"), "read: local"),
    ],
)
def test_a_plan_says_of_no_flag_that_nobody_typed(
    workspace: Shell, words: tuple[str, ...], said: str
) -> None:
    assert workspace("apply", "--yes") == 0
    if words[0] == "destroy":
        (workspace.folder / "datasets/example.yaml").unlink()
    workspace(*words)
    shown = " ".join(workspace.out.split())
    assert said in shown
    assert "--refresh=none" not in shown


def test_release_forgets_and_leaves_the_data(workspace: Shell) -> None:
    assert workspace("apply", "--yes") == 0
    (workspace.folder / "datasets/example.yaml").unlink()
    assert workspace("release", "example", "--yes") == 0
    assert (workspace.folder / "out/example/example.csv").exists()
    assert workspace("state", "list") == 0
    assert "The state is empty" in workspace.out


def test_import_adopts_what_is_there_after_asking(workspace: Shell) -> None:
    place = workspace.folder / "out/example"
    place.mkdir(parents=True)
    (place / "old.csv").write_text("x\n")
    assert workspace("import", "out/example/") == 3
    assert workspace("import", "out/example/", answers=["n\n"]) == 9
    assert "old.csv" in workspace.out
    assert workspace("import", "out/example/", "--yes") == 0
    assert (place / "_log").is_dir()


def test_the_state_is_changed_only_with_consent_and_shown_before(workspace: Shell) -> None:
    assert workspace("apply", "--yes") == 0
    assert workspace("state", "rm", "example") == 3
    assert "- Dataset/example" in workspace.out
    assert workspace("state", "mv", "example", "other", answers=["y\n"]) == 0
    assert workspace("state", "show", "other") == 0
    assert workspace("state", "show", "othr") == 1
    assert "Dataset/other" in workspace.err
    assert workspace("state", "rm", "other", "--yes") == 0
    assert workspace("state", "rebuild", "--yes") == 0
    assert workspace("state", "show", "example") == 0
    assert workspace("state", "verify") == 0


def test_drift_and_lock_speak_in_one_line_where_there_is_nothing(workspace: Shell) -> None:
    assert workspace("apply", "--yes") == 0
    assert workspace("drift", "--detailed-exitcode") == 0
    assert workspace.out.startswith("No drift")
    (workspace.folder / "out/example/example.csv").unlink()
    assert workspace("drift", "--detailed-exitcode") == 11
    assert workspace("lock", "show") == 0
    assert workspace.out == "The state is not locked.\n"
    assert workspace("lock", "steal") == 0


def test_fmt_changes_layout_alone_and_check_only_says_so(workspace: Shell) -> None:
    path = workspace.folder / "datasets/example.yaml"
    neat = path.read_text()
    path.write_text(neat.replace("  source:", "      source:").replace("  dest", "      dest")
                    .replace("  format:", "      format:"))  # fmt: skip
    (workspace.folder / "other-tool.yaml").write_text("a:    [1,2]\n")
    assert workspace("fmt", "--check") == 1
    assert path.read_text() != neat
    assert workspace("fmt") == 0
    assert path.read_text() == neat
    assert (workspace.folder / "other-tool.yaml").read_text() == "a:    [1,2]\n"
    assert workspace("fmt", "--check") == 0


def test_render_shows_the_origin_of_every_value(workspace: Shell) -> None:
    assert workspace("render") == 0
    assert "destination: out/example/  # datasets/example.yaml:7:16" in workspace.out


def test_a_missing_extra_names_the_line_that_installs_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    (shell.folder / "t").mkdir()
    code = shell("data", "sync", "delta+t", "out/")
    assert code == 1
    assert "pip install 'batuta[delta]'" in shell.out + shell.err
