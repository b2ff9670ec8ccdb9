"""Why a bar is missed, where we know: looked up when a run misses it."""

from tests.bench.measure import Row

UNKNOWN = "not explained yet; a machine busy with other work is the usual cause."
REASONS: tuple[tuple[str, str, str], ...] = ()
"""(start of the section, part of work or figure, why)."""


def reason(row: Row) -> str:
    """Return why `row` misses its bar."""
    what = f"{row.work}, {row.figure}"
    for section, part, why in REASONS:
        if row.section.startswith(section) and part in what:
            return why
    return UNKNOWN
