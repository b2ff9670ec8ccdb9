"""Diagnostics, reports, questions and tables, as people see them."""

import json
from dataclasses import replace

import pytest

from batuta.cli.views import diagnostics, figures, questions, report, tables
from batuta.cli.views.page import Page, cells, entries, fold, plain, table
from batuta.model.cost import Confidence, CostEstimate
from batuta.model.dataset import Verification
from batuta.model.diagnostic import Diagnostic, Location, Severity
from batuta.model.event import ActionFinished, RunReport
from batuta.model.log import Head, LogEntry, Part
from batuta.model.state import Lease, ResourceRecord, RunRecord
from tests.unit.cli import golden, plans

PAGE = Page(width=90)
TEXT = "kind: Dataset\nspec:\n  sorce: data/\n\tx: ü日本y\n"


def finding(line: int, column: int, length: int = 0, **fields: object) -> Diagnostic:
    made = Diagnostic(
        code="MAN110",
        summary="Unknown key",
        detail="`sorce` is no key of a Dataset's spec; the nearest is `source`.",
        fix="Write `source`.",
        locations=(Location("a.yaml", line, column, length),),
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of Diagnostic


def test_diagnostics_read_as_accepted() -> None:
    found = [
        finding(3, 3, 5),
        finding(4, 5, 3, severity=Severity.WARNING, address="Dataset/x"),
        finding(99, 1),
        finding(1, 1, 4, fix="Run this:\n  batuta fmt a.yaml\nThen look again."),
        Diagnostic(
            code="STA103", summary="The state is damaged", detail="A record.", fix="Rebuild it."
        ),
    ]
    golden.check("diagnostics.txt", plain(diagnostics.view(PAGE, found, lambda _file: TEXT)))


def test_diagnostics_are_shown_once_and_by_file_and_line() -> None:
    found = [finding(9, 1), finding(2, 1), finding(9, 1), finding(2, 1, code="MAN109")]
    order = [(d.locations[0].line, d.code) for d in diagnostics.arranged(found)]
    assert order == [(2, "MAN109"), (2, "MAN110"), (9, "MAN110")]


@pytest.mark.parametrize("column", [1, 40, 150, 300])
def test_the_caret_stands_under_its_character_in_a_long_line(column: int) -> None:
    text = "".join(chr(ord("a") + n % 26) for n in range(300))
    lines = plain(diagnostics.one(Page(width=80), finding(1, column, 1), lambda _f: text))
    shown, marks = lines.splitlines()[3:5]
    assert shown[marks.index("^")] == text[column - 1]
    assert cells(shown) <= 80


def test_the_caret_stands_under_wide_characters() -> None:
    lines = plain(diagnostics.one(PAGE, finding(1, 3, 1), lambda _f: "日本x"))
    shown, marks = lines.splitlines()[3:5]
    assert cells(shown[: shown.index("x")]) == marks.index("^")


@pytest.mark.parametrize(
    ("line", "column", "length"), [(0, 0, 0), (1, 99, 99), (5, 1, 1), (1, 1, 9999)]
)
def test_a_place_outside_the_text_is_no_crash(line: int, column: int, length: int) -> None:
    for text in ("", "short", "\n\n"):
        known = {"a.yaml": text}
        lines = diagnostics.one(PAGE, finding(line, column, length), known.get)
        assert "a.yaml" in plain(lines)


def test_the_json_form_has_every_field() -> None:
    document = json.loads(diagnostics.document([finding(3, 3, 5, address="Dataset/x")]))
    (one,) = document["diagnostics"]
    assert one["locations"] == [{"file": "a.yaml", "line": 3, "column": 3, "length": 5}]
    assert (one["code"], one["severity"], one["address"]) == ("MAN110", "error", "Dataset/x")


@pytest.mark.parametrize(
    ("count", "short", "exact"),
    [
        (0, "0 B", "0 B"),
        (1023, "1023 B", "1,023 B"),
        (1024, "1.0 KiB", "1,024 B"),
        (1_048_524, "1023.9 KiB", "1,048_524 B"),
        (1_048_575, "1.0 MiB", "1,048,575 B"),
        (5_717_414_510_592, "5.2 TiB", "5,717,414,510,592 B"),
    ],
)
def test_bytes_are_short_and_exact_on_request(count: int, short: str, exact: str) -> None:
    assert figures.size(Page(), count) == short
    assert figures.size(Page(exact=True), count) == exact.replace("_", ",")


def test_rows_money_and_time_are_never_more_precise_than_known() -> None:
    assert figures.rows(Page(), 1) == "1 row"
    assert figures.rows(Page(), 1_250_000) == "1.2 million rows"
    assert figures.rows(Page(exact=True), 1_250_000) == "1,250,000 rows"
    assert figures.cost(None) == "Unknown"
    assert figures.cost(CostEstimate(confidence=Confidence.UNKNOWN)) == "Unknown"
    assert figures.total_cost([]) == "nothing"
    assert figures.total_cost([None, None]) == "Unknown"
    assert [figures.seconds(s) for s in (0.04, 59.9, 60, 3700)] == [
        "0.0 s",
        "59.9 s",
        "1 min 0 s",
        "1 h 1 min",
    ]


def test_only_a_known_price_above_zero_is_money_at_stake() -> None:
    assert figures.money_at_stake(plans.PRICED)
    assert not figures.money_at_stake(plans.FREE)
    assert not figures.money_at_stake(plans.UNPRICED)
    assert not figures.money_at_stake(None)


@pytest.mark.parametrize("width", [None, 8, 20, 80])
def test_folding_loses_no_character_but_blanks_at_the_ends_of_lines(width: int | None) -> None:
    text = "a bb ccc " + "d" * 50 + " 日本語日本語日本語 e"
    pieces = fold(text, width)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert width is None or all(cells(piece) <= max(width, 8) for piece in pieces)


def test_a_table_drops_no_cell_however_narrow_the_page_is() -> None:
    rows = [("a" * 40, "b" * 40, "c")]
    text = plain(table(Page(width=40), ("one", "two", "three"), rows))
    assert (text.count("a"), text.count("b"), text.count("c")) == (40, 40, 1)


FAILED = Diagnostic(code="AWS105", summary="Not there", detail="s3://lake/x is gone.", fix="Look.")


def outcomes() -> tuple[ActionFinished, ...]:
    return (
        ActionFinished(
            address="Dataset/a",
            action="create",
            status="done",
            rows=1000,
            files=3,
            bytes_read=4096,
            head=Head(7, "a" * 64),
        ),
        ActionFinished(address="Dataset/b", action="relabel", status="done", enforced=True),
        ActionFinished(
            address="Dataset/c", action="append", status="failed", diagnostics=(FAILED,)
        ),
        ActionFinished(
            address="Dataset/d", action="create", status="skipped", because_of="Dataset/c"
        ),
        ActionFinished(address="Dataset/e", action="create", status="not-started"),
    )


def test_a_report_of_a_partial_run_reads_as_accepted() -> None:
    ended = RunReport(
        run="20260131T120000-abc123",
        plan="9b3f",
        status="partial",
        outcomes=outcomes(),
        bytes_read=4096,
        seconds=125,
    )
    lines = report.view(PAGE, ended, resume="batuta apply plan.json")
    golden.check("report-partial.txt", plain(lines))


def test_what_was_blocked_is_not_said_to_have_failed_and_is_to_be_settled_before_going_on() -> None:
    halted = ActionFinished(
        address="Dataset/x", action="blocked", status="failed", diagnostics=(FAILED,)
    )
    needs_it = ActionFinished(
        address="Dataset/y", action="create", status="skipped", because_of="Dataset/x"
    )
    ended = RunReport(
        run="r", plan="p", status="partial", outcomes=(outcomes()[0], halted, needs_it),
        bytes_read=0, seconds=1,
    )  # fmt: skip
    text = plain(report.view(PAGE, ended, resume="batuta apply"))
    assert "apply partial: 1 of 3 actions done, 1 blocked" in text
    assert "blocked, so not begun: 1\n  Dataset/x\n    error[AWS105]" in text
    assert "When what is blocked is settled:" in text
    assert "failed" not in text
    assert "To resume" not in text


def test_a_report_of_thousands_names_every_failure_and_counts_the_rest() -> None:
    done = tuple(replace(outcomes()[0], address=f"Dataset/d{n}") for n in range(5000))
    ended = RunReport(
        run="r",
        plan="p",
        status="partial",
        outcomes=(*done, outcomes()[2]),
        bytes_read=0,
        seconds=1,
    )
    text = plain(report.view(PAGE, ended, resume="batuta apply"))
    assert "and 4,950 more" in text
    assert "Dataset/c" in text
    assert len(text.splitlines()) < 100


def test_the_drift_question_is_the_specifications() -> None:
    text = plain(questions.drift(PAGE, plans.blocked_by_drift()))
    golden.check("question-drift.txt", text)
    assert all(f"[{key}]" in text for key in "ASFQ")


def test_the_cost_question_reads_as_accepted() -> None:
    plan = plans.plan(plans.replaced(), plans.create())
    golden.check("question-cost.txt", plain(questions.cost(PAGE, plan)))


def test_the_loss_question_names_what_goes() -> None:
    text = plain(questions.loss(PAGE, [plans.evolve()]))
    assert "Removed: old_code" in text
    assert "Added: region" not in text


RECORD = ResourceRecord(
    address="Dataset/orders",
    revision=3,
    destination="out/orders/",
    destination_platform=None,
    origin="Manifest",
    owner="Created",
    head=Head(7, "a" * 64),
    facts=plans.facts("orders"),
    label=plans.LABEL,
    run="20260131T120000-abc123",
    plan="9b3f" + "0" * 60,
)
RUN = RunRecord(
    id="20260131T120000-abc123",
    command="batuta apply",
    plan="9b3f" + "0" * 60,
    actor="noah",
    started_at="2026-01-31T12:00:00.000Z",
    ended_at=None,
    status="partial",
    actions=5,
    done=3,
    failed=1,
    bytes_read=4096,
)
ENTRY = LogEntry(
    version=7,
    parent="b" * 64,
    written_at="2026-01-31T12:00:00.000Z",
    batuta_version="0.1.0",
    action="append",
    resource="Dataset/orders",
    owner="Created",
    plan="9b3f" + "0" * 60,
    facts=plans.facts("orders"),
    source=None,
    label=plans.LABEL,
    added=(Part(path="part-1.ald", size_bytes=5, sha256="c" * 64, rows=9),),
    rows=9,
)
LEASE = Lease(
    token=4,
    holder="noah",
    host="ci.test",
    pid=4711,
    command="batuta apply",
    taken_at="2026-01-31T12:00:00.000Z",
    beat_at="2026-01-31T12:00:05.000Z",
    expires_at="2026-01-31T12:00:35.000Z",
)


def test_the_tables_of_state_runs_lock_and_log_read_as_accepted() -> None:
    verified = Verification(
        ok=False, anchored=False, problems=(FAILED,), entries=2, files=1, size_bytes=5
    )
    page = Page(width=120)
    blocks = [
        tables.records(page, [RECORD]),
        tables.record(page, RECORD),
        tables.runs(page, [RUN]),
        tables.lease(page, LEASE),
        tables.log(page, [ENTRY]),
        tables.verified(page, "orders", verified),
        tables.adoption(page, "out/x/", ENTRY, ENTRY.added),
    ]
    golden.check("tables.txt", "\n".join(plain(block) for block in blocks))


def test_a_whole_dataset_that_nothing_vouches_for_is_said_to_be_so() -> None:
    for anchored in (True, False):
        found = Verification(
            ok=True, anchored=anchored, problems=(), entries=1, files=1, size_bytes=5
        )
        text = plain(tables.verified(PAGE, "orders", found))
        assert text.startswith("orders is whole: 1 file, 5 B, 1 log entry checked\n")
        assert ("not anchored" in text) is not anchored


def test_actions_with_nothing_to_do_are_no_part_of_a_report() -> None:
    quiet = ActionFinished(address="Dataset/q", action="no-op", status="done")
    ended = RunReport(
        run="r", plan="p", status="done", outcomes=(outcomes()[0], quiet), bytes_read=0, seconds=1
    )
    text = plain(report.view(PAGE, ended, resume="batuta apply"))
    assert "1 of 1 action done" in text
    assert "Dataset/q" not in text


def test_nothing_to_show_is_one_line_and_never_an_empty_screen() -> None:
    for lines in (
        tables.records(PAGE, []),
        tables.runs(PAGE, []),
        tables.steps(PAGE, []),
        tables.lease(PAGE, None),
        tables.log(PAGE, []),
        tables.drift(PAGE, []),
    ):
        assert len(plain(lines).splitlines()) == 1


ROWS = [
    (
        "12",
        "2026-11-30T15:07:28.155Z",
        "replace",
        "(FullySovereign, FullySovereign)",
        "b535d722dace479a",
    ),
    ("11", "2026-11-30T15:07:26.394Z", "create", "(Standard, Standard)", ""),
]
HEADER = ("version", "written", "action", "label", "source version")


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_entries_are_never_cut_within_a_word_whatever_the_width(width: int) -> None:
    text = plain(entries(Page(width=width), HEADER, ROWS))
    assert max(map(cells, text.splitlines())) <= width
    words = text.split()
    for row in ROWS:
        assert set(" ".join(row).split()) <= set(words)


def test_entries_are_a_table_where_there_is_room_and_paragraphs_where_there_is_none() -> None:
    (header, *_) = plain(entries(Page(width=160), HEADER, ROWS)).splitlines()
    assert header.split() == " ".join(HEADER).split()
    (first, *_) = plain(entries(Page(width=60), HEADER, ROWS)).splitlines()
    assert first.startswith("version 12  written 2026-11-30T15:07:28.155Z")
    assert plain(entries(Page(), HEADER, ROWS)).startswith("version  written")
    assert entries(Page(width=60), HEADER, []) == []


def test_a_table_breaks_at_blanks_before_it_cuts_a_word() -> None:
    row = ("a few short words here", "4a8dda4ffd6a4a8dda4ffd6a")
    text = plain(table(Page(width=40), ("said", "digest"), [row]))
    assert row[1] in text.split()
