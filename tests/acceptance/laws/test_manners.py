"""What a newcomer meets: the wrong folder, a slip of the keyboard, a script without a terminal."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.laws.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    (tmp_path / "t").mkdir()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "t/a.parquet")
    bench.write({"t": {"source": "t/", "destination": "out/", "format": "parquet"}})
    return bench


@pytest.mark.parametrize("command", ["plan", "apply", "validate", "render", "drift", "state list"])
def test_outside_a_workspace_a_command_says_so_and_what_to_do(tmp_path: Path, command: str) -> None:
    done = Bench(tmp_path).run(*command.split())

    assert done.returncode == 3, done.stdout + done.stderr
    assert "CLI113" in done.stderr
    assert "batuta init" in done.stderr


def test_apply_without_a_terminal_asks_only_where_there_is_something_to_ask(bench: Bench) -> None:
    refused = bench.run("apply")
    assert refused.returncode == 3
    assert "1 to create" in refused.stdout
    assert "CLI104" in refused.stderr
    assert bench.run("apply", "--yes").returncode == 0

    done = bench.run("apply")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "CLI104" not in done.stderr


def test_apply_records_what_only_the_log_knows(bench: Bench) -> None:
    assert bench.run("apply", "--yes").returncode == 0
    for path in (bench.folder / ".batuta").glob("state*"):
        path.unlink()
    assert "apply records" in bench.run("plan").stdout

    done = bench.run("apply")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Dataset/t" in bench.run("state", "list").stdout
    assert "apply records" not in bench.run("plan").stdout


def test_a_slip_of_the_keyboard_is_answered_with_the_command_that_was_meant(bench: Bench) -> None:
    assert "batuta plan" in bench.run("plna").stderr
    assert "batuta state list" in bench.run("state", "lits").stderr


def test_help_cuts_no_sentence_off(bench: Bench) -> None:
    for group in ((), ("data",), ("state",)):
        shown = bench.run(*group, "--help", environment={"COLUMNS": "80"}).stdout
        rows = shown.partition("Commands:")[2].splitlines()
        assert not [row for row in rows if row.endswith("...")]


def test_validate_names_the_files_that_it_passes_by(bench: Bench) -> None:
    (bench.folder / "more.yml").write_text("kind: Dataset\n")

    assert "not read: more.yml" in bench.run("validate").stdout


def test_a_secret_in_a_dataset_is_hidden_and_sent_where_it_belongs(bench: Bench) -> None:
    text = (
        "apiVersion: batuta.dev/v1\nkind: Dataset\nmetadata: {name: s}\n"
        "spec: {source: {address: t/, credentials: {secretAccessKey: canary-1}}, "
        "destination: o/, token: canary-2, db_password: canary-3}\n"
    )
    (bench.folder / "s.yaml").write_text(text)

    done = bench.run("validate")

    assert "canary" not in done.stdout + done.stderr
    assert done.stdout.count("MAN125") == 3
    assert "Put references into a Platform" in done.stdout


def test_a_tab_is_called_a_tab(bench: Bench) -> None:
    (bench.folder / "tab.yaml").write_text("kind: Dataset\nmetadata:\n\tname: x\n")

    assert "indented with a tab" in bench.run("validate").stdout


def test_a_list_of_nothing_is_not_shown(bench: Bench) -> None:
    unknown = bench.run("validate", "--env", "nope").stdout

    assert "Environments: ." not in unknown
    assert "spec.environments" in unknown
    assert "spec.variables" in bench.run("validate", "--var", "x=1").stdout


def test_a_bad_time_is_answered_with_good_ones(bench: Bench) -> None:
    said = bench.run("audit", "t", "--since", "yesterday").stderr

    assert "30d" in said
    assert "isoformat" not in said


def test_the_way_out_of_a_lost_part_names_the_dataset(bench: Bench) -> None:
    assert bench.run("apply", "--yes").returncode == 0
    next((bench.folder / "out").glob("*.parquet")).unlink()

    for command in (("plan",), ("data", "verify", "t")):
        done = bench.run(*command)
        assert "--resync t" in done.stdout + done.stderr
        assert "NAME" not in done.stdout + done.stderr


def test_init_here_does_not_send_anybody_elsewhere(tmp_path: Path) -> None:
    assert "Next: batuta plan" in Bench(tmp_path).run("init", ".").stdout


def test_a_run_says_that_it_read_what_its_plan_said(tmp_path: Path) -> None:
    """Bytes of files, not of decoded rows: bills are compared with them."""
    bench = Bench(tmp_path)
    rows = pa.table({"id": range(5000), "text": ["the same"] * 5000})
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pq.write_table(rows, tmp_path / name / "x.parquet", row_group_size=500)
        (tmp_path / name / "y.csv").write_text("id,text\n" + "7,of a line\n" * 3000)
    parquet = {"source": "a/x.parquet", "format": "ald"}
    csv = {"source": "b/y.csv", "format": "arrow"}
    both = {
        "source": {"merge": [{"address": "a/x.parquet"}, {"address": "b/x.parquet"}]},
        "format": "parquet",
    }
    bench.write(
        {
            "rows": {**parquet, "destination": "out/rows/"},
            "lines": {**csv, "destination": "out/lines/"},
            "both": {**both, "destination": "out/both/"},
        }
    )

    envelope, report = bench.apply()

    planned = {a.target.resource: a.volume.read_bytes for a in envelope.plan.actions}
    assert {o.address: o.bytes_read for o in report.outcomes} == planned
    assert min(planned.values()) > 0
