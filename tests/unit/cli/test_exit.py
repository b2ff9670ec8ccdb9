"""The exit codes are a promise: this test is where they are written down a second time."""

import pytest

from batuta.cli.exit import (
    AREAS,
    CODES,
    MEANING,
    Exit,
    of_diagnostics,
    of_error,
    of_plan,
    of_report,
)
from batuta.model.diagnostic import (
    BatutaError,
    CommitConflict,
    ConnectorError,
    Diagnostic,
    Failure,
    Severity,
    StalePlan,
    StateLocked,
)
from batuta.model.event import ActionFinished, ActionStatus, RunReport
from tests.unit.cli import plans


def finding(code: str, severity: Severity = Severity.ERROR) -> Diagnostic:
    return Diagnostic(code=code, summary="s", detail="d", fix="f", severity=severity)


def test_the_table_is_frozen() -> None:
    assert {code.name: code.value for code in Exit} == {
        "OK": 0,
        "ERROR": 1,
        "CHANGES": 2,
        "INVALID": 3,
        "POLICY": 4,
        "COST": 5,
        "STALE": 6,
        "LOCKED": 7,
        "PARTIAL": 8,
        "CANCELLED": 9,
        "TIMEOUT": 10,
        "DRIFT": 11,
        "AUTH": 12,
        "STOPPED": 13,
        "SOVEREIGNTY": 14,
        "ENFORCEMENT": 15,
        "EXPIRED": 16,
        "BUG": 70,
    }
    assert set(MEANING) == set(Exit)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("MAN101", 3),
        ("CLI101", 3),
        ("CLI102", 3),
        ("CLI104", 3),
        ("CLI105", 6),
        ("CLI106", 13),
        ("CLI107", 5),
        ("SOV101", 14),
        ("EGR101", 14),
        ("EGR201", 15),
        ("EGR401", 3),
        ("EGR402", 3),
        ("EGR403", 3),
        ("CST101", 5),
        ("DRF101", 13),
        ("XYZ999", 1),
    ],
)
def test_the_area_of_a_code_decides_unless_the_code_itself_does(code: str, wanted: int) -> None:
    assert of_diagnostics([finding(code)]) == wanted


def test_warnings_and_notes_are_no_failure() -> None:
    assert of_diagnostics([finding("SOV101", Severity.WARNING)]) == 0
    assert of_diagnostics([]) == 0


def test_of_several_reasons_the_one_to_repair_first_wins() -> None:
    found = [finding("DRF101"), finding("CST101"), finding("SOV101")]
    assert of_diagnostics(found) == 14
    assert of_diagnostics([*found, finding("MAN101")]) == 3
    assert of_diagnostics([finding("XYZ999"), finding("DRF101")]) == 13


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (StateLocked(finding("STA101")), 7),
        (StalePlan(finding("PLN101")), 6),
        (CommitConflict(finding("LOG101")), 6),
        (ConnectorError(finding("AWS101"), kind=Failure.AUTH), 12),
        (ConnectorError(finding("AWS101"), kind=Failure.EXPIRED), 16),
        (ConnectorError(finding("AWS199"), kind=Failure.PERMANENT), 1),
        (BatutaError(finding("MAN101")), 3),
        (BatutaError(finding("XYZ101", Severity.NOTE)), 1),
    ],
)
def test_an_error_has_a_code_of_its_own_and_never_success(error: BatutaError, wanted: int) -> None:
    assert of_error(error) == wanted


def test_a_plan_succeeds_with_changes_unless_details_are_asked_for() -> None:
    changing, quiet = plans.plan(plans.create()), plans.plan(plans.same("a"))
    assert of_plan(changing) == 0
    assert of_plan(changing, detailed=True) == 2
    assert of_plan(quiet, detailed=True) == 0


def test_a_plan_that_a_gate_stops_has_the_code_of_the_gate() -> None:
    assert of_plan(plans.plan(plans.create(), plans.blocked_by_drift())) == 13
    assert of_plan(plans.plan(plans.blocked_by_tier()), detailed=True) == 14


def report(status: str, *outcomes: tuple[ActionStatus, str]) -> RunReport:
    return RunReport(
        run="r1",
        plan="p",
        status=status,  # type: ignore[arg-type]  # one of the four
        outcomes=tuple(
            ActionFinished(
                address=f"Dataset/d{n}",
                action="create",
                status=what,
                diagnostics=(finding(code),) if code else (),
            )
            for n, (what, code) in enumerate(outcomes)
        ),
        bytes_read=1,
        seconds=1,
    )


@pytest.mark.parametrize(
    ("status", "outcomes", "wanted"),
    [
        ("done", [("done", "")], 0),
        ("cancelled", [("cancelled", "")], 9),
        ("partial", [("done", ""), ("failed", "AWS101")], 8),
        ("failed", [("failed", "SOV101")], 14),
        ("failed", [("failed", "")], 1),
    ],
)
def test_a_run_has_the_code_of_how_it_ended(
    status: str, outcomes: list[tuple[ActionStatus, str]], wanted: int
) -> None:
    assert of_report(report(status, *outcomes)) == wanted


def test_every_mapped_code_is_an_error_code() -> None:
    assert not {Exit.OK, Exit.CHANGES, Exit.DRIFT} & (set(AREAS.values()) | set(CODES.values()))
