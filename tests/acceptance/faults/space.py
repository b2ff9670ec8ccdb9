"""A workspace in a folder, the program run in it as its own process, and what it left."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from batuta.model.dataset import Verification
from batuta.runtime.engine import Engine, WorkspaceOptions
from tests.acceptance import nursery
from tests.plain import plain_text
from tests.shown import rows_of

REPOSITORY = Path(__file__).resolve().parents[3]
BATCH = 65_536
_PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from tests.acceptance.engines import prepare_workers, set_sizes
{before}
from batuta.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
_HEAD = (
    "apiVersion: batuta.dev/v1\nkind: Workspace\nmetadata: {name: faults}\n"
    'spec: {manifests: ["batuta.yaml"]}\n'
)


def ids(start: int, rows: int) -> pa.Table:
    """Return a table whose every row is another one."""
    return pa.table({"id": pa.array(range(start, start + rows), pa.int64())})


def write(path: Path, table: pa.Table, **settings: Any) -> None:
    """Write one Parquet file of one row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, use_dictionary=False, row_group_size=len(table) or 1, **settings)


def write_days(folder: Path, edition: int = 0, days: int = 3, rows: int = BATCH + 464) -> pa.Table:
    """Write a source of several files; return its rows. Editions have no row in common."""
    tables = [ids(edition * 10_000_000 + day * rows, rows) for day in range(days)]
    for day, table in enumerate(tables):
        write(folder / f"day-{day:03}.parquet", table)
    return pa.concat_tables(tables)


def at_s3(name: str, endpoint: str, region: str) -> str:
    """Return a Platform for an S3 server whose keys stand in LAKE_ID and LAKE_KEY."""
    return (
        f"---\napiVersion: batuta.dev/v1\nkind: Platform\nmetadata: {{name: {name}}}\n"
        f"spec: {{type: aws, network: OnPrem, region: {region}, "
        f'endpoints: ["{endpoint}"], cidrs: [127.0.0.0/8], '
        'credentials: {accessKeyId: "env:LAKE_ID", secretAccessKey: "env:LAKE_KEY"}, '
        f'aws: {{endpoint: "{endpoint}", pathStyle: true}}}}\n'
        + plain_text(endpoint, name=f"{name}-plain")
    )


@dataclass
class Space:
    """One workspace. `environment` is added to the program's."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def declare(self, datasets: Mapping[str, str], platforms: Sequence[str] = ()) -> None:
        """Write the manifests: for each dataset the inside of its `spec`."""
        self.root.mkdir(parents=True, exist_ok=True)
        documents = [
            f"---\napiVersion: batuta.dev/v1\nkind: Dataset\nmetadata: {{name: {name}}}\n"
            f"spec: {{{spec}}}\n"
            for name, spec in datasets.items()
        ]
        text = _HEAD + "".join(platforms) + "".join(documents)
        (self.root / "batuta.yaml").write_text(text)

    def command(self, arguments: Iterable[str], before: str = "set_sizes()") -> list[str]:
        """Return the command line of the program; `before` is run in it first."""
        program = _PROGRAM.format(root=str(REPOSITORY), before=before)
        return [sys.executable, "-c", program, *arguments]

    def start(
        self, *arguments: str, before: str = "set_sizes()", **more: Any
    ) -> "subprocess.Popen[str]":
        """Start the program and leave it running."""
        return subprocess.Popen(
            self.command(arguments, before), cwd=self.root, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment}, **more,
        )  # fmt: skip

    def run(
        self, *arguments: str, before: str = "set_sizes()", timeout_s: float = 120, **more: Any
    ) -> tuple[int, str]:
        """Run the program to its end; return its exit code and all it wrote.

        It is forked where the module's workers are.
        """
        if (asked := nursery.of_module) is not None and not more:
            env = {**os.environ, **self.environment}
            done = nursery.run(asked, arguments, self.root, env, timeout_s, before)
            return done.returncode, done.stdout
        process = self.start(*arguments, before=before, **more)
        try:
            text, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
            raise AssertionError(f"no end after {timeout_s} s:\n{text}") from None
        return process.returncode, text

    def apply(self, **more: Any) -> str:
        """Apply what is wanted; it must succeed."""
        code, text = self.run("apply", "--yes", **more)
        assert code == 0, text
        return text

    def engine(self) -> Engine:
        """Open the workspace in this process, to look."""
        return Engine.open(WorkspaceOptions(folder=self.root))

    def rows(self, name: str = "orders") -> pa.Table:
        """Return a dataset's rows through its log."""
        engine = self.engine()
        try:
            return rows_of(engine, name)
        finally:
            engine.close()

    def verify(self, name: str = "orders") -> Verification:
        """Hash a dataset and compare it with its log and the state."""
        engine = self.engine()
        try:
            return engine.verify_dataset(name)
        finally:
            engine.close()

    def holds(self, table: pa.Table, name: str = "orders") -> None:
        """Check that a dataset has exactly these rows, is sound, and leaves nothing behind."""
        found = self.rows(name)
        assert found.num_rows == table.num_rows
        assert found.cast(table.schema).equals(table)
        checked = self.verify(name)
        assert checked.ok, checked.problems
        assert checked.anchored
        assert self.leftovers(name) == []

    def leftovers(self, name: str = "orders") -> list[str]:
        """Return what lies in staging, here and at a local destination, and parts of no entry."""
        engine = self.engine()
        try:
            place = engine.datasets.find(name)
            snapshot = place.dataset.snapshot()
            named = {part.path for part in snapshot.parts} if snapshot else set()
            own = ("_log/", "_history/")
            found = [i.path for i in place.dataset.files.list() if not i.path.startswith(own)]
        finally:
            engine.close()
        scratch = self.root / ".batuta" / "staging"
        left = [path for path in found if path not in named]
        return left + (os.listdir(scratch) if scratch.is_dir() else [])

    def chunks(self) -> int:
        """Return how many chunks the state has as checkpoints."""
        engine = self.engine()
        try:
            return int(str(engine.store.rows("SELECT count(*) FROM chunks")[0][0]))
        finally:
            engine.close()


def quoted(command: list[str]) -> str:
    """Return a command line for a shell."""
    return " ".join(map(shlex.quote, command))


def events(path: Path) -> list[dict[str, Any]]:
    """Return what a run told, so far."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def children_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the worker processes of a running program."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
