"""Plans over thousands of manifests, against a bare load of the same texts."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import Row, Sample, batuta, exponent, python, run, take_turns
from tests.bench.workspaces import applied

SECTION = "Plan scale"
LOAD = """\
import pathlib, sys, yaml
for path in pathlib.Path(sys.argv[1]).rglob('*.yaml'):
    list(yaml.load_all(path.read_bytes(), Loader=yaml.CSafeLoader))
"""


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return the cost of an offline plan, cold and with nothing changed, and how it grows."""
    few, many = (50, 500) if quick else (1000, 10_000)
    small, large = applied(folder, few), applied(folder, many)
    turns = take_turns(
        {
            "load": lambda: run(python(LOAD, large), cwd=large, memory=False),
            "cold": lambda: _cold(large),
            "warm": lambda: _plan(large),
            "cold, few": lambda: _cold(small),
        },
        1 if quick else 3,
    )
    growth = exponent(
        turns.middle("cold, few", "cpu_s"), turns.middle("cold", "cpu_s"), many // few
    )
    work = f"`batuta plan --refresh none`, {many:,} manifests of 24 lines"
    peer = "CPU to a bare CSafeLoader load of the files"
    return [
        Row(section=SECTION, work=f"{work}, nothing parsed yet", figure=peer,
            reached=turns.ratio("cold", "load", "cpu_s"), bar=1.5),
        Row(section=SECTION, work=f"{work}, nothing changed", figure=peer,
            reached=turns.ratio("warm", "load", "cpu_s"), bar=0.15),
        Row(section=SECTION, work=f"{work}, nothing parsed yet", unit="",
            figure=f"exponent of CPU from {few:,}", reached=growth, bar=1.1),
        Row(section=SECTION, work=work, figure="peak memory", unit=" MiB",
            reached=max(turns.peak_mib("cold"), turns.peak_mib("warm")), bar=250),
    ]  # fmt: skip


def _cold(place: Path) -> Sample:
    for path in (place / ".batuta").glob("cache.db*"):
        path.unlink()
    return _plan(place)


def _plan(place: Path) -> Sample:
    return run(batuta("plan", "--refresh", "none"), cwd=place, codes=(0, 1))
