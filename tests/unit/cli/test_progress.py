"""What a run says while it goes on: in a log, at a terminal, in a file of events."""

import io
import json
import threading
import time
from pathlib import Path

import pytest

from batuta.cli.views.bars import Bars
from batuta.cli.views.page import Page
from batuta.cli.views.progress import EventFile, LogLines, listeners
from batuta.cli.views.screen import Screen
from batuta.model.diagnostic import Diagnostic
from batuta.model.event import (
    ActionFinished,
    ActionProgress,
    ActionStarted,
    Event,
    Observing,
    Retrying,
    RunReport,
    RunStarted,
)

NOTE = Diagnostic(code="AWS105", summary="s", detail="d", fix="f")
EVENTS: tuple[Event, ...] = (
    Observing(done=1, total=2, what="Dataset/a"),
    RunStarted(run="r1", plan="p", actions=2, resumes="r0"),
    ActionStarted(address="Dataset/a", action="create", total_bytes=2048),
    ActionProgress(address="Dataset/a", bytes_done=1024, rows_done=10, files_done=1),
    Retrying(address="Dataset/a", attempt=1, wait_s=0.5, reason="503 from the server"),
    ActionFinished(address="Dataset/a", action="create", status="done", rows=20, files=2),
    ActionFinished(
        address="Dataset/b",
        action="append",
        status="failed",
        diagnostics=(NOTE,),
        because_of="Dataset/a",
    ),
    RunReport(run="r1", plan="p", status="partial", outcomes=(), bytes_read=2048, seconds=1.5),
)


def screen() -> Screen:
    return Screen(io.StringIO(), Page())


def said(shown: Screen) -> list[str]:
    assert isinstance(shown.stream, io.StringIO)
    return shown.stream.getvalue().splitlines()


def test_what_was_blocked_is_not_said_to_have_failed() -> None:
    shown = screen()
    with LogLines(shown) as listen:
        listen(
            ActionFinished(
                address="Dataset/b", action="blocked", status="failed", diagnostics=(NOTE,)
            )
        )
    assert said(shown) == ["Dataset/b: blocked, so not begun (AWS105)"]


def test_a_log_has_a_line_for_each_finished_dataset_and_none_for_mere_progress() -> None:
    shown = screen()
    with LogLines(shown) as listen:
        for event in EVENTS:
            listen(event)
    assert said(shown) == [
        "run r1: 2 actions, resumes r0",
        "Dataset/a: try 1 failed, again in 0.5 s: 503 from the server",
        "Dataset/a: create done, 20 rows, 2 files",
        "Dataset/b: append failed because of Dataset/a (AWS105)",
    ]


def test_a_log_is_never_silent_for_longer_than_the_heartbeat() -> None:
    shown = screen()
    with LogLines(shown, every_s=0.05) as listen:
        listen(EVENTS[1])
        listen(EVENTS[2])
        listen(EVENTS[3])
        time.sleep(0.4)
    beats = [row for row in said(shown) if row.startswith("still working")]
    assert len(beats) >= 3
    assert beats[0].endswith("0 of 2 done; Dataset/a 50 % of 2.0 KiB")


def test_leaving_a_log_does_not_wait_for_the_heartbeat() -> None:
    started = time.monotonic()
    with LogLines(screen(), every_s=60):
        pass
    assert time.monotonic() - started < 5


def test_every_event_is_one_line_of_json_with_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventFile(path.open("ab")) as listen:
        for event in EVENTS:
            listen(event)
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    assert [row["kind"] for row in rows] == [event.kind for event in EVENTS]
    assert rows[6]["diagnostics"][0]["code"] == "AWS105"


def test_events_of_many_threads_do_not_mix_within_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventFile(path.open("ab")) as listen:

        def many() -> None:
            for _ in range(200):
                listen(EVENTS[3])

        threads = [threading.Thread(target=many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [json.loads(row)["bytes_done"] for row in path.read_text().splitlines()] == [1024] * 800


def test_bars_draw_nothing_for_work_of_under_a_second() -> None:
    stream = io.StringIO()
    with Bars(stream, Page(width=80), colour=False) as listen:
        for event in EVENTS:
            listen(event)
    assert stream.getvalue() == ""


def test_bars_show_each_dataset_and_leave_a_line_for_each_that_is_finished() -> None:
    stream = io.StringIO()
    with Bars(stream, Page(width=80), colour=False, quiet_s=0.2) as listen:
        for event in EVENTS[:4]:
            listen(event)
        time.sleep(0.6)
        for event in EVENTS[4:]:
            listen(event)
    text = stream.getvalue()
    assert "Dataset/a: create done, 20 rows, 2 files" in text
    assert "Dataset/b: append failed" in text


class Terminal(io.StringIO):
    """A text that says it is a terminal: rich draws on nothing else."""

    def isatty(self) -> bool:
        return True


def test_a_bar_comes_up_even_where_no_event_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Bars(stream, Page(width=80), colour=False, quiet_s=0.05):
        time.sleep(0.6)
    assert "looking at sources" in stream.getvalue()


def test_a_terminal_gets_bars_and_anything_else_lines(tmp_path: Path) -> None:
    for interactive in (True, False):
        shown = Screen(io.StringIO(), Page(width=80), interactive=interactive)
        with listeners(shown, (tmp_path / "e").open("ab")) as listen:
            listen(EVENTS[1])
        assert (said(shown) == []) is interactive
