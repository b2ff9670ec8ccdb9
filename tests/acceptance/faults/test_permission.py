"""Places that may not be read or written: said by name, nothing half done, no bug reports."""

import ctypes
import os
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.faults.space import Space, quoted, write_days
from tests.kernel import requires_kernel

ORDERS = "source: data/, destination: out/orders/, format: ald"
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


def obeys_modes() -> dict[str, Any]:
    """Return what makes a program obey permissions even where the tests run as root."""
    if os.geteuid() != 0:
        return {}

    def drop() -> None:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl")

    return {"preexec_fn": drop}


def denied(space: Space, *arguments: str, **more: Any) -> str:
    """Run; it must fail in words. Returns them."""
    code, text = space.run(*arguments, **obeys_modes(), **more)
    assert code not in {0, 70}, text
    assert "Traceback" not in text
    return text


def test_a_source_file_that_may_not_be_read_is_named(space: Space) -> None:
    rows = write_days(space.root / "data")
    space.declare({"orders": ORDERS})
    secret = space.root / "data" / "day-001.parquet"
    secret.chmod(0)
    text = denied(space, "apply", "--yes")
    assert "day-001.parquet" in text
    assert not list((space.root / "out").rglob("part-*"))
    secret.chmod(0o644)
    space.apply()
    space.holds(rows)


def test_a_source_folder_that_may_not_be_listed_never_empties_the_dataset(space: Space) -> None:
    rows = write_days(space.root / "data" / "deep")
    space.declare({"orders": ORDERS})
    space.apply()
    (space.root / "data" / "deep").chmod(0)
    denied(space, "apply", "--yes")
    (space.root / "data" / "deep").chmod(0o755)
    space.holds(rows)


@pytest.mark.parametrize("place", ["out", "out/orders", "out/orders/_log"])
def test_a_destination_that_may_not_be_written_stays_as_it_was(space: Space, place: str) -> None:
    rows = write_days(space.root / "data")
    space.declare({"orders": ORDERS})
    space.apply()
    newer = write_days(space.root / "data", edition=1)
    if place == "out":  # a new dataset beside the old one
        space.declare({"orders": ORDERS, "more": ORDERS.replace("out/orders", "out/more")})
    (space.root / place).chmod(0o555)
    text = denied(space, "apply", "--yes")
    assert "out" in text
    (space.root / place).chmod(0o755)
    if place != "out":
        assert space.rows().cast(rows.schema).equals(rows)
    space.apply()
    space.holds(newer)


def test_a_state_that_may_not_be_written_stops_before_anything_moves(space: Space) -> None:
    write_days(space.root / "data")
    space.declare({"orders": ORDERS})
    (space.root / ".batuta").mkdir()
    (space.root / ".batuta").chmod(0o555)
    text = denied(space, "apply", "--yes")
    assert "STA102" in text
    assert not (space.root / "out").exists()


@requires_kernel("user namespaces")
def test_a_read_only_destination_is_said_to_be_one(space: Space, tmp_path: Path) -> None:
    """A file system that is mounted read only, as root sees it too."""
    rows = write_days(space.root / "data")
    space.declare({"orders": ORDERS})
    space.apply()
    newer = write_days(space.root / "data", edition=1)
    out = space.root / "out"
    apply = quoted(space.command(["apply", "--yes"]))
    script = f"""
        mount --bind {out} {out} && mount -o remount,bind,ro {out} || exit 9
        {apply} > {tmp_path}/log 2>&1; echo $? > {tmp_path}/code
    """
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", textwrap.dedent(script)],
        cwd=space.root, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    log = (tmp_path / "log").read_text()
    assert (tmp_path / "code").read_text().strip() not in {"0", "70"}, log
    assert "read-only" in log.lower()
    assert space.rows().cast(rows.schema).equals(rows)
    space.apply()
    space.holds(newer)
