"""`batuta egress log`: what was tried, put together from its lines, and whether the log holds."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batuta.cli.main import main
from batuta.cli.views import egress_log as view
from batuta.cli.views.egress_metrics import metrics
from batuta.cli.views.page import ASCII, UNICODE, Page, plain
from batuta.model.egress import LogHead
from batuta.model.state import RunRecord, RunStatus
from batuta.runtime.egress.audit import AuditLog, Row
from batuta.runtime.egress.audit_read import head_of, verify
from batuta.runtime.egress_log import Attempt, Wanted, tried
from batuta.runtime.state.lease import LeaseKeeper
from batuta.runtime.state.store import StateStore, put_run
from tests.unit.cli import golden
from tests.unit.cli.terminal import app_in, written

LAKE = "sales.s3.eu-central-1.amazonaws.com"
RUN = "20261130T004623-9acb99"


def _row(event: str, connection: int, **facts: Any) -> Row:
    known: dict[str, Any] = {
        "run": RUN, "worker": "w1", "action": "transfer", "dataset": "Dataset/orders",
        "policy": "ab" * 32, "host": LAKE, "port": 443, "rule": f"{LAKE}:443",
        "line": "egress.yaml:12:7", "verdict": "allow", "code": "allow",
    }  # fmt: skip
    return Row(event=event, connection=connection, **(known | facts))


def _refusal(connection: int, host: str = "exfil.example.test", **facts: Any) -> Row:
    why = f"No rule allows {host}."
    denied = {"verdict": "deny", "code": "host.not_allowed", "detail": why, "rule": "", "line": ""}
    return _row("refused", connection, **({"host": host} | denied | facts))


LINES = [
    _row("open", 1),
    _row("open", 2, worker="w2", dataset="Dataset/hr"),
    _refusal(3),
    _row("end", 1, up=1200, down=47_185_920, ms=3200, end="closed"),
    _refusal(4, "us.aws.cdn.hf.co", referrer="huggingface.co", run="20261130T010000-aaaaaa"),
    _row("open", 5, host="127.0.0.1", port=8333, rule="127.0.0.1:8333"),
    _row("request", 5, host="127.0.0.1", port=8333, method="GET", path="/b/k", status=200),
    _row("request", 5, host="127.0.0.1", port=8334, method="GET", path="/b/k", status=200),
    _row("end", 5, host="127.0.0.1", port=8334, up=300, down=5000, end="closed"),
    _row("open", 6),
    _row("end", 6, up=65536, verdict="deny", code="budget.upload", end="budget.upload",
         detail="More than 64 KiB would be sent."),
]  # fmt: skip


def _write(path: Path, rows: list[Row], **options: int) -> None:
    log = AuditLog(path, **options)
    for row in rows:
        log.append(row)
    log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    _write(path, LINES)
    return path


def _tried(path: Path, **wanted: Any) -> list[Attempt]:
    return list(tried(path, Wanted(**wanted)))


def test_the_lines_of_a_connection_are_one_with_its_bytes_and_its_rule(path: Path) -> None:
    found = next(a for a in _tried(path) if a.host == LAKE and a.verdict == "allowed")
    assert (found.up, found.down, found.ms, found.end) == (1200, 47_185_920, 3200, "closed")
    assert (found.worker, found.run, found.dataset) == ("w1", RUN, "Dataset/orders")
    assert (found.rule, found.line) == (f"{LAKE}:443", "egress.yaml:12:7")


def test_every_connection_is_there_once_and_what_has_no_end_is_open(path: Path) -> None:
    found = [(a.host, a.verdict) for a in _tried(path)]
    assert found == [
        ("exfil.example.test", "refused"),
        (LAKE, "allowed"),
        ("us.aws.cdn.hf.co", "refused"),
        ("127.0.0.1", "allowed"),
        (LAKE, "refused"),
        (LAKE, "open"),
    ]


def test_one_connection_to_two_ends_names_both(path: Path) -> None:
    (found,) = [a for a in _tried(path) if a.host == "127.0.0.1"]
    assert (found.port, found.also, found.requests) == (8333, ("127.0.0.1:8334",), 2)
    assert found.rule == "127.0.0.1:8333"


def test_what_was_let_through_and_then_cut_is_refused_with_the_bytes_that_went(
    path: Path,
) -> None:
    found = _tried(path, refused=True)[-1]
    assert (found.code, found.up) == ("budget.upload", 65536)


@pytest.mark.parametrize(("verdict", "code"), [("fail", "dns.nxdomain"), ("deny", "dns.nxdomain")])
def test_a_name_that_does_not_resolve_is_failed_and_no_refusal(
    tmp_path: Path, verdict: str, code: str
) -> None:
    """Whatever an older batuta wrote as its verdict."""
    path = tmp_path / "audit.jsonl"
    _write(path, [_refusal(1, "typo.test", verdict=verdict, code=code, detail="Not resolved.")])
    (found,) = _tried(path)
    assert (found.verdict, found.why) == ("failed", "Not resolved.")
    assert _tried(path, refused=True) == []
    assert 'verdict="failed",code="dns.nxdomain"} 1' in metrics([found], verify(path))
    assert "dns.nxdomain: Not resolved." in plain(view.Listing(Page(width=160)).lines(found))


@pytest.mark.parametrize("name", ["hr", "Dataset/hr"])
def test_only_one_dataset(path: Path, name: str) -> None:
    assert [a.worker for a in _tried(path, dataset=name)] == ["w2"]
    assert _tried(path, dataset=name, refused=True) == []


def test_what_was_tried_before_a_time_is_left_out(path: Path) -> None:
    assert _tried(path, since="2999-01-01T00:00:00.000Z") == []
    assert len(_tried(path, since="2000-01-01T00:00:00.000Z")) == 6


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("egress-log-80.txt", Page(width=80, glyphs=UNICODE)),
        ("egress-log-160.txt", Page(width=160, glyphs=UNICODE)),
        ("egress-log-no-terminal.txt", Page(glyphs=ASCII)),
    ],
)
def test_the_listing_at_every_width(path: Path, name: str, page: Page) -> None:
    listing = view.Listing(page)
    attempts = [
        replace(a, time=f"2026-11-30T00:46:{n:02}.123Z") for n, a in enumerate(_tried(path))
    ]
    lines = [line for attempt in attempts for line in listing.lines(attempt)]
    golden.check(name, plain(lines))
    if page.width is not None:
        assert max(map(len, plain(lines).splitlines())) <= page.width


# -- the command, in a workspace ---------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "batuta.yaml").write_text(
        "apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n", encoding="utf-8"
    )
    return folder


def _log(folder: Path) -> Path:
    return folder / ".batuta" / "egress" / "audit.jsonl"


def _said(folder: Path) -> str:
    code, said = _run(folder)
    assert code == 0, said
    return " ".join(said.split())


def _run(folder: Path, *arguments: str) -> tuple[int, str]:
    app = app_in(folder)
    code = main(["egress", "log", *arguments], app)
    return code, written(app.out) + written(app.err)


def test_without_a_log_it_says_that_nothing_was_tried(folder: Path) -> None:
    code, said = _run(folder)
    assert code == 0
    assert "No worker has tried to reach anything yet" in said


def test_a_dataset_that_nobody_knows_is_said_and_one_of_the_log_is_shown(folder: Path) -> None:
    _write(_log(folder), LINES)
    code, said = _run(folder, "--dataset", "nosuch")
    assert code == 1
    assert "DAT101" in said
    known = LINES[0].dataset.removeprefix("Dataset/")
    assert _run(folder, "--dataset", known)[0] == 0


def test_a_whole_log_is_shown_and_said_to_be_whole(folder: Path) -> None:
    _write(_log(folder), LINES)
    code, said = _run(folder)
    assert code == 0
    assert "exfil.example.test:443" in said
    assert "host.not_allowed: No rule allows exfil.example.test." in said
    assert "The egress log is whole: 11 lines" in said
    assert "head: line 11 (" in said


def test_a_log_that_was_changed_is_shown_and_said_to_be_changed(folder: Path) -> None:
    path = _log(folder)
    _write(path, LINES)
    path.write_bytes(path.read_bytes().replace(b"exfil.example.test", b"okay..example.test"))
    code, said = _run(folder)
    assert code == 14
    assert "NOT whole" in said
    assert "error[EGR303]" in said
    assert ".batuta/egress/audit.jsonl:4" in said


def _kept(folder: Path, head: LogHead | None, status: RunStatus = "done", name: str = "") -> None:
    """Have a run in a state of the workspace that kept `head`."""
    store = StateStore(folder / ".batuta" / (f"state-{name}.db" if name else "state.db"))
    run = RunRecord(
        id=f"20261130T01-{status}{name}", command="c", plan="p", actor="a", started_at="",
        ended_at="", status=status, actions=0, done=0, failed=0, egress_head=head,
    )  # fmt: skip
    with LeaseKeeper(store, "test"):
        store.write([put_run(run)])
    store.close()


def test_a_run_that_kept_the_end_of_the_log_is_named_and_one_that_did_not(folder: Path) -> None:
    path = _log(folder)
    _write(path, LINES)
    assert "not anchored: no run has kept its end" in _said(folder)
    _kept(folder, head_of(path))
    _kept(folder, None, "partial")
    _kept(folder, head_of(path), "dead")
    _write(path, LINES)
    said = _said(folder)
    assert "anchored up to line 11, by run 20261130T01-done" in said
    assert "not anchored: 2 runs, the last one 20261130T01-dead" in said
    _, text = _run(folder, "--format", "json")
    verdict = json.loads(text.splitlines()[-1])
    assert (verdict["anchor"]["n"], verdict["runs_not_anchored"]) == (11, 2)


@pytest.mark.parametrize("name", ["", "production"])
@pytest.mark.parametrize("left", [0, 10])
def test_an_end_that_was_cut_off_is_found_by_what_any_environment_kept(
    folder: Path, name: str, left: int
) -> None:
    path = _log(folder)
    _write(path, LINES)
    _kept(folder, head_of(path), name=name)
    assert _run(folder)[0] == 0
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))
    code, said = _run(folder)
    assert code == 14
    assert "error[EGR304]" in said
    assert f"20261130T01-done{name}" in said
    code, said = _run(folder, "--format", "prometheus")
    assert (code, "batuta_egress_log_whole 0\n" in said) == (14, True)


def test_a_state_that_cannot_be_read_is_said_and_the_log_is_whole_all_the_same(
    folder: Path,
) -> None:
    """It may be another environment's, of a newer batuta: no mistake in the log."""
    _write(_log(folder), LINES)
    (folder / ".batuta" / "state-other.db").write_bytes(b"no database" * 1000)
    newer = folder / ".batuta" / "state-prod.db"
    _at_version(newer, 99)
    said = _said(folder)
    assert "exfil.example.test:443" in said
    assert "The egress log is whole: 11 lines" in said
    assert "not anchored by state-prod.db: Its format is 99" in said
    assert "(STA101)" in said
    assert "not anchored by state-other.db:" in said
    _, text = _run(folder, "--format", "json")
    assert len(json.loads(text.splitlines()[-1])["states_not_read"]) == 2


@pytest.mark.parametrize("as_format", ["text", "json", "prometheus"])
def test_an_own_state_that_is_damaged_is_a_finding_and_not_merely_not_read(
    folder: Path, as_format: str
) -> None:
    """It is what would show that the end of the log was cut off."""
    _write(_log(folder), LINES)
    _kept(folder, head_of(_log(folder)))
    with closing(sqlite3.connect(folder / ".batuta" / "state.db")) as database:
        database.execute("UPDATE runs SET record = 'damaged'")
        database.commit()
    code, said = _run(folder, "--format", as_format)
    assert code == 14
    if as_format == "text":
        assert "error[EGR309]" in said
        assert "state.db: " in said
        assert "batuta state rebuild" in said
        assert "not anchored by state.db" not in said
    if as_format == "json":
        (found,) = json.loads(said.splitlines()[-1])["findings"]
        assert found["code"] == "EGR309"


def test_an_older_state_of_another_environment_anchors_and_stays_as_it_is(folder: Path) -> None:
    path = _log(folder)
    _write(path, LINES)
    _kept(folder, head_of(path), name="prod")
    older = folder / ".batuta" / "state-prod.db"
    _at_version(older, 1)
    before = {each.name: each.read_bytes() for each in older.parent.glob("state*")}
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    code, said = _run(folder)
    assert (code, "error[EGR304]" in said) == (14, True)
    assert {each.name: each.read_bytes() for each in older.parent.glob("state*")} == before


def test_a_state_that_another_environment_has_open_anchors(folder: Path) -> None:
    """What its run kept is in SQLite's log of writes and not in the file yet."""
    path = _log(folder)
    _write(path, LINES)
    store = StateStore(folder / ".batuta" / "state-prod.db")
    _kept(folder, head_of(path), name="prod")
    assert "anchored up to line 11, by run 20261130T01-doneprod" in _said(folder)
    store.close()


def _at_version(state: Path, version: int) -> None:
    with closing(sqlite3.connect(state)) as database:
        database.execute(f"PRAGMA user_version={version}")


def test_looking_at_the_log_makes_no_state(folder: Path) -> None:
    assert _run(folder)[0] == 0
    assert not (folder / ".batuta" / "state.db").exists()


def test_json_is_a_line_for_each_connection_and_the_verdict_last(folder: Path) -> None:
    _write(_log(folder), LINES)
    code, said = _run(folder, "--format", "json", "--refused")
    lines = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert [line["kind"] for line in lines] == ["connection"] * 3 + ["log"]
    assert {line["verdict"] for line in lines[:-1]} == {"refused"}
    assert lines[-1]["whole"]
    assert lines[-1]["head"] == {"n": 11, "digest": verify(_log(folder)).head.digest}


def test_metrics_count_what_was_tried_and_say_whether_the_log_holds(folder: Path) -> None:
    path = _log(folder)
    _write(path, [*LINES, _refusal(9, dataset='Dataset/a"b\\c')])
    code, said = _run(folder, "--format", "prometheus")
    assert code == 0
    series = dict(line.rsplit(" ", 1) for line in said.splitlines() if not line.startswith("#"))
    tried_ = 'batuta_egress_connections_total{dataset="%s",verdict="%s",code="%s"}'
    assert series[tried_ % ("orders", "refused", "host.not_allowed")] == "2"
    assert series[tried_ % ("orders", "refused", "budget.upload")] == "1"
    assert series[tried_ % ("orders", "allowed", "allow")] == "2"
    assert series['batuta_egress_connections_open{dataset="hr"}'] == "1"
    assert series[tried_ % ('a\\"b\\\\c', "refused", "host.not_allowed")] == "1"
    assert series['batuta_egress_bytes_total{dataset="orders",direction="up"}'] == "67036"
    assert series["batuta_egress_log_whole"] == "1"
    path.write_bytes(path.read_bytes().replace(b"exfil", b"other"))
    code, said = _run(folder, "--format", "prometheus")
    assert (code, "batuta_egress_log_whole 0\n" in said) == (14, True)


@pytest.fixture
def follower(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    code = "from batuta.cli.main import main; import sys; sys.exit(main())"
    arguments = ["egress", "log", "--follow", "--refused", "--format", "json"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        yield process
        if process.poll() is None:
            process.kill()


def test_following_misses_nothing_while_the_log_is_rotated(
    folder: Path, follower: "subprocess.Popen[str]"
) -> None:
    hosts = [f"h{n}.test" for n in range(120)]
    path = _log(folder)
    _write(path, [_refusal(0, "first.test")])
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["host"] == "first.test"
    for at in range(0, len(hosts), 10):
        _write(path, [_refusal(n, hosts[n]) for n in range(at, at + 10)], max_bytes=1500)
    seen = [json.loads(follower.stdout.readline())["host"] for _ in hosts]
    assert seen == hosts
    assert len(list(path.parent.glob("audit.*.jsonl"))) > 5
    follower.send_signal(signal.SIGINT)
    last = json.loads(follower.stdout.readline())
    assert (last["kind"], last["whole"], last["lines"]) == ("log", True, 121)
    assert follower.wait(20) == 0
