"""The arithmetic of `make bench`, and the page that it writes."""

import sys
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.measure import (
    ProgramFailedError,
    Rounds,
    Row,
    Sample,
    exponent,
    python,
    run,
    take_turns,
)


def sample(wall_s: float, cpu_s: float = 1.0, peak_mib: float = 1.0) -> Sample:
    return Sample(wall_s=wall_s, cpu_s=cpu_s, peak_mib=peak_mib)


def test_a_ratio_is_the_median_of_the_pairs_and_not_the_pair_of_medians() -> None:
    turns = Rounds(
        {"ours": [sample(1), sample(6), sample(9)], "peer": [sample(1), sample(2), sample(30)]}
    )

    assert turns.ratio("ours", "peer") == 1.0
    assert turns.middle("ours") == 6


def test_programs_take_turns_and_each_begins_a_round() -> None:
    order: list[str] = []

    def program(name: str) -> Sample:
        order.append(name)
        return sample(1)

    take_turns({"a": lambda: program("a"), "b": lambda: program("b")}, 3)

    assert order == ["a", "b", "b", "a", "a", "b"]


def test_linear_growth_has_the_exponent_one_and_quadratic_growth_two() -> None:
    assert exponent(3.0, 30.0, 10) == pytest.approx(1.0)
    assert exponent(3.0, 300.0, 10) == pytest.approx(2.0)


def test_processor_time_and_memory_of_children_count(tmp_path: Path) -> None:
    child = "x = bytearray(200 << 20)\nfor i in range(6_000_000): pass\nimport time; time.sleep(.2)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    alone, both = run(python("pass"), cwd=tmp_path), run(python(code), cwd=tmp_path)

    assert both.peak_mib > alone.peak_mib + 150
    assert both.cpu_s > alone.cpu_s + 0.05


def test_memory_that_two_processes_share_counts_once(tmp_path: Path) -> None:
    code = (
        "import os, time; x = bytearray(b'x') * (200 << 20)\n"
        "child = os.fork(); time.sleep(.5)\n"
        "os.waitpid(child, 0) if child else os._exit(0)"
    )

    alone, both = run(python("pass"), cwd=tmp_path), run(python(code), cwd=tmp_path)

    assert 190 < both.peak_mib - alone.peak_mib < 250


def test_a_program_that_fails_ends_the_run_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailedError, match="because of that"):
        run([sys.executable, "-c", "raise SystemExit('because of that')"], cwd=tmp_path)


def test_a_missed_bar_is_bold_and_explained_and_a_reached_one_is_not() -> None:
    missed = Row(section="Tables", work="copy", figure="wall to a loop", reached=1.23, bar=1.1)
    reached = Row(section="Tables", work="scan", figure="wall to DuckDB", reached=0.5, bar=0.6)
    free = Row(section="Tables", work="scan", figure="CPU of one", reached=3.0, unit=" ms")

    page = report.page([missed, reached, free], "Machine: a small one.\n")

    assert "| copy | wall to a loop | **1.23" in page
    assert "| scan | wall to DuckDB | 0.50" in page
    assert "1 of 2 bars are reached" in page
    assert "* copy, wall to a loop: " in page
    assert "* scan" not in page


def test_a_figure_that_rounds_to_its_bar_is_not_missed() -> None:
    assert not Row(section="", work="", figure="", reached=1.104, bar=1.10).missed
    assert Row(section="", work="", figure="", reached=1.106, bar=1.10).missed


def test_where_there_is_a_figure_without_walls_the_bar_is_for_it() -> None:
    walled = Row(
        section="Tables", work="copy", figure="wall", reached=1.2, unconfined=1.0, bar=1.1
    )  # fmt: skip
    missed = Row(
        section="Tables", work="scan", figure="wall", reached=1.2, unconfined=1.15, bar=1.1
    )  # fmt: skip
    alone = Row(section="Tables", work="size", figure="bytes", reached=1.0, bar=1.0)

    page = report.page([walled, missed, alone], "Machine: a small one.\n")

    assert "| work | measured | confined | unconfined | bar | |" in page
    assert "| copy | wall | 1.20\N{MULTIPLICATION SIGN} | 1\N{MULTIPLICATION SIGN} |" in page
    assert "| 1.20\N{MULTIPLICATION SIGN} | **1.15\N{MULTIPLICATION SIGN}** |" in page
    assert "| size | bytes | 1\N{MULTIPLICATION SIGN} |  |" in page
    assert "2 of 3 bars are reached" in page
