"""A disk that is full, or takes no more of a file: nothing is published, and the rest goes on."""

import subprocess
import textwrap
from pathlib import Path

from tests.acceptance.faults.space import Space, quoted, write_days
from tests.kernel import requires_kernel

ORDERS = "source: data/, destination: out/orders/, format: ald"


def test_a_file_that_may_not_grow_fails_its_dataset_and_the_next_run_goes_on(space: Space) -> None:
    rows = write_days(space.root / "data")
    write_days(space.root / "small", days=1, rows=100)
    space.declare(
        {"orders": ORDERS, "small": "source: small/, destination: out/small/, format: ald"}
    )
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    code, text = space.run("apply", "--yes", before=f"set_sizes(); prepare_workers({limit!r})")
    assert code == 8, text  # partly: the small one is done
    assert "File too large" in text
    assert space.rows("small").num_rows == 100
    assert not list((space.root / "out/orders").glob("*.ald"))
    space.apply()
    space.holds(rows)


@requires_kernel("user namespaces")
def test_a_full_disk_is_named_and_once_there_is_room_the_same_command_goes_on(
    space: Space, tmp_path: Path
) -> None:
    """A real small file system: it fills up after the plan was made, then grows."""
    rows = write_days(space.root / "data")
    disk = tmp_path / "disk"
    disk.mkdir()
    kept = tmp_path / "kept"
    space.declare({"orders": f"source: data/, destination: {disk}/orders/, format: ald"})
    plan, saved, again = (
        quoted(space.command(arguments))
        for arguments in (
            ["plan", "--out", "plan.json"], ["apply", "plan.json"], ["apply", "--yes"],
        )
    )  # fmt: skip
    script = f"""
        set -u
        mount -t tmpfs -o size=4m none {disk}
        {plan} > {tmp_path}/1.log 2>&1 || exit 1
        head -c 4100000 /dev/zero > {disk}/filler
        {saved} > {tmp_path}/2.log 2>&1; echo $? > {tmp_path}/2.code
        ls {disk}/orders > {tmp_path}/2.parts
        rm {disk}/filler
        {again} > {tmp_path}/3.log 2>&1 || exit 3
        cp -a {disk}/orders {kept}
    """
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", textwrap.dedent(script)],
        cwd=space.root, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    logs = "\n".join(path.read_text() for path in sorted(tmp_path.glob("*.log")))
    assert done.returncode == 0, done.stderr + logs
    assert (tmp_path / "2.code").read_text().strip() == "1", logs
    assert "No space left" in (tmp_path / "2.log").read_text()
    assert "part-" not in (tmp_path / "2.parts").read_text()
    space.declare({"orders": f"source: data/, destination: {kept}/, format: ald"})
    assert space.rows().cast(rows.schema).equals(rows)


@requires_kernel("user namespaces")
def test_a_full_disk_under_the_state_says_so_and_loses_nothing(
    space: Space, tmp_path: Path
) -> None:
    rows = write_days(space.root / "data")
    space.declare({"orders": ORDERS})
    space.apply()
    newer = write_days(space.root / "data", edition=1)
    apply = quoted(space.command(["apply", "--yes"]))
    state = space.root / ".batuta"
    script = f"""
        set -u
        cp -a {state} {tmp_path}/saved
        mount -t tmpfs -o size=1m none {state}
        cp -a {tmp_path}/saved/. {state}/
        head -c 2000000 /dev/zero > {state}/filler 2> /dev/null
        {apply} > {tmp_path}/1.log 2>&1; echo $? > {tmp_path}/1.code
    """
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", textwrap.dedent(script)],
        cwd=space.root, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    log = (tmp_path / "1.log").read_text()
    assert (tmp_path / "1.code").read_text().strip() == "1", log
    assert "STA102" in log or "No space left" in log
    assert "has a bug" not in log
    assert space.rows().cast(rows.schema).equals(rows)
    space.apply()
    space.holds(newer)
