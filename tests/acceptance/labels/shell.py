"""A workspace in which commands are typed, by somebody or by nobody."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batuta.cli.main import main
from batuta.runtime.engine import Engine, WorkspaceOptions
from tests.acceptance.laws.bench import document
from tests.shown import rows_of
from tests.unit.cli.terminal import app_in, written

Json = dict[str, Any]
SECRET = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", "c"]})
PUBLIC = pa.table({"id": pa.array([3, 4], pa.int64()), "name": ["x", "y"]})


class Shell:
    """Runs commands in one folder and keeps what the last one said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = self.err = ""

    def __call__(self, *arguments: str, answers: Iterable[str] | None = None) -> int:
        """Run a command; `answers` are what a person types, None: nobody is there."""
        app = app_in(self.folder, answers)
        code = main(list(arguments), app)
        self.out, self.err = written(app.out), written(app.err)
        return code

    @property
    def said(self) -> str:
        """All that the last command said, on both streams, with single blanks between words."""
        return " ".join((self.out + self.err).split())

    def well(self, *arguments: str, answers: Iterable[str] | None = None) -> str:
        """Run a command that must succeed; return what it wrote."""
        code = self(*arguments, answers=answers)
        assert code == 0, self.said
        return self.out

    def write(self, datasets: Mapping[str, Json]) -> None:
        """Write the manifests."""
        found = [document("Workspace", "labels", {})]
        found += [document("Dataset", name, spec) for name, spec in datasets.items()]
        text = "---\n".join(json.dumps(each) + "\n" for each in found)
        (self.folder / "batuta.yaml").write_text(text)

    def table(self, name: str, rows: pa.Table) -> None:
        """Write a source of one Parquet file."""
        (self.folder / name).mkdir(exist_ok=True)
        pq.write_table(rows, self.folder / name / "rows.parquet")

    @contextmanager
    def open(self) -> Iterator[Engine]:
        """An engine over the workspace."""
        engine = Engine.open(WorkspaceOptions(folder=self.folder))
        try:
            yield engine
        finally:
            engine.close()

    def rows(self, where: str) -> pa.Table:
        """The rows of a dataset, through its log."""
        with self.open() as engine:
            return rows_of(engine, where)

    def entry(self, where: str, version: int) -> Json:
        """One entry of a log."""
        found: Json = json.loads((self.folder / where / f"_log/{version:020d}.json").read_bytes())
        return found

    def audit(self, *arguments: str) -> Json:
        """The body of an audit."""
        envelope = json.loads(self.well("audit", *arguments))
        body: Json = json.loads(base64.b64decode(envelope["payload"]))
        return body


def sovereign(source: str, destination: str) -> Json:
    """A dataset of an owner's own most sovereign data."""
    return {
        "source": {"address": source, "origin": {"tier": "FullySovereign"}},
        "destination": destination, "format": "parquet", "tier": "FullySovereign",
    }  # fmt: skip


def public(source: str, destination: str) -> Json:
    """A dataset of data from anywhere."""
    return {
        "source": {"address": source, "origin": {"tier": "Standard"}},
        "destination": destination, "format": "parquet", "tier": "Standard",
    }  # fmt: skip
