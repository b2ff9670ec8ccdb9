"""Applies thousands of one-row datasets: what a dataset costs, and how that grows."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import Row, Sample, batuta, exponent, run, take_turns
from tests.bench.workspaces import apply_anew, workspace

SECTION = "Many datasets"


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return the growth of a whole apply, of a plan with nothing to do, and the peak memory."""
    few, many = (50, 500) if quick else (1000, 10_000)
    small, large = workspace(folder, few), workspace(folder, many)
    turns = take_turns(
        {
            "bare": lambda: apply_anew(large, confined=False),
            "few": lambda: apply_anew(small),
            "many": lambda: apply_anew(large),
        },
        1,
    )
    plans = take_turns({"few": lambda: _plan(small), "many": lambda: _plan(large)}, 1)
    times = many // few
    first, last = turns.middle("few", "cpu_s"), turns.middle("many", "cpu_s")
    work = f"`batuta apply`, {many:,} one-row datasets"
    again = f"`batuta plan`, {many:,} datasets, nothing to do"
    grown = exponent(plans.middle("few", "cpu_s"), plans.middle("many", "cpu_s"), times)
    return [
        Row(section=SECTION, work=work, figure=f"exponent of CPU from {few:,}", unit="",
            reached=exponent(first, last, times), bar=1.05),
        Row(section=SECTION, work=work, figure=f"exponent of wall from {few:,}", unit="",
            reached=exponent(turns.middle("few"), turns.middle("many"), times), bar=1.05),
        Row(section=SECTION, work=work, figure="peak memory of all processes", unit=" MiB",
            reached=turns.peak_mib("many"), unconfined=turns.peak_mib("bare"), bar=300),
        Row(section=SECTION, work=work, figure="CPU for one dataset", unit=" ms",
            reached=1000 * last / many,
            unconfined=1000 * turns.middle("bare", "cpu_s") / many),
        Row(section=SECTION, work=again, figure=f"exponent of CPU from {few:,}", unit="",
            reached=grown, bar=1.05),
        Row(section=SECTION, work=again, figure="peak memory of all processes", unit=" MiB",
            reached=plans.peak_mib("many"), bar=300),
        Row(section=SECTION, work=again, figure="CPU for one dataset", unit=" ms",
            reached=1000 * plans.middle("many", "cpu_s") / many),
    ]  # fmt: skip


def _plan(place: Path) -> Sample:
    return run(batuta("plan"), cwd=place)
