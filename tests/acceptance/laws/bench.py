"""A workspace that a test writes, plans, applies and looks into, through the engine or the program."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import Phase, settings

from batuta.model.event import RunReport
from batuta.model.plan import Blocked, Envelope, NoOp
from batuta.runtime.engine import Engine, WorkspaceOptions
from batuta.runtime.planning import PlanRequest
from tests.acceptance import nursery
from tests.conftest import Place
from tests.plain import plain_policy
from tests.shown import rows_of

# Each example is a run of the whole engine: a failing one is shown as it is, not made smaller.
EXAMPLES = settings(phases=[Phase.explicit, Phase.generate])

Json = dict[str, Any]
Rows = Counter[str]
ROOT = Path(__file__).resolve().parents[3]
KEYS = {"LAWS_KEY_ID": "accessKeyId", "LAWS_SECRET": "secretAccessKey"}


def document(kind: str, name: str, spec: Json, **metadata: Any) -> Json:
    """One document of a manifest."""
    named = {"name": name, **metadata}
    return {"apiVersion": "batuta.dev/v1", "kind": kind, "metadata": named, "spec": spec}


def lake(place: Place) -> list[Json]:
    """The Platform of a store that runs here, with its keys by reference, and what opens it."""
    return [_platform(place), plain_policy(place.server.endpoint)]


def _platform(place: Place) -> Json:
    return document(
        "Platform", "lake",
        {
            "type": "aws", "network": "OnPrem", "endpoints": [place.server.endpoint],
            "cidrs": ["127.0.0.0/8"],
            "credentials": {field: f"env:{name}" for name, field in KEYS.items()},
            "aws": {"endpoint": place.server.endpoint, "pathStyle": True},
            "region": place.server.region,
        },
    )  # fmt: skip


def lake_environment(place: Place) -> dict[str, str]:
    """The variables that `lake` refers to."""
    return dict(zip(KEYS, (place.server.access_key, place.server.secret_key), strict=True))


@dataclass
class Bench:
    """One workspace in `folder`; nothing of it is kept open between calls."""

    folder: Path
    workspace: Json = field(default_factory=dict)
    environment: str | None = None
    others: list[Json] = field(default_factory=list)

    def write(self, datasets: Mapping[str, Json]) -> None:
        """Write the manifests: the workspace, other documents, and datasets by name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        documents = [document("Workspace", "laws", self.workspace), *self.others]
        for name, spec in datasets.items():
            tags = spec.get("tags")
            own = {key: value for key, value in spec.items() if key != "tags"}
            documents.append(document("Dataset", name, own, **({"tags": tags} if tags else {})))
        text = "---\n".join(json.dumps(each) + "\n" for each in documents)
        (self.folder / "batuta.yaml").write_text(text)

    @contextmanager
    def open(self, **options: Any) -> Iterator[Engine]:
        """An engine over the workspace as it is now."""
        chosen = WorkspaceOptions(folder=self.folder, environment=self.environment, **options)
        engine = Engine.open(chosen)
        try:
            yield engine
        finally:
            engine.close()

    def plan(self, **asked: Any) -> Envelope:
        """A plan, made by an engine of its own."""
        with self.open() as engine:
            return engine.plan(PlanRequest(**asked), _ignore)

    def apply(self, **asked: Any) -> tuple[Envelope, RunReport]:
        """A plan and its run."""
        with self.open() as engine:
            envelope = engine.plan(PlanRequest(**asked), _ignore)
            return envelope, engine.apply(envelope, _ignore, threading.Event())

    def apply_saved(self, envelope: Envelope) -> RunReport:
        """Apply a plan that another engine made."""
        with self.open() as engine:
            return engine.apply(envelope, _ignore, threading.Event())

    def settle(self, most: int = 3, **asked: Any) -> Envelope:
        """Apply until a plan is empty (datasets that read others wait a turn); return that plan."""
        for _ in range(most):
            envelope, report = self.apply(**asked)
            assert report.status == "done", [
                (o.address, [str(d) for d in o.diagnostics])
                for o in report.outcomes
                if o.status != "done"
            ]
            if not envelope.plan.has_changes and not waits(envelope):
                break
        return self.plan()

    def rows(self, name: str) -> pa.Table:
        """The rows of a dataset, read through its log."""
        with self.open() as engine:
            return rows_of(engine, name)

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None, timeout_s: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """Run the program in the workspace; forked where the module's workers are."""
        env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **(environment or {})}
        if (asked := nursery.of_module) is not None:
            return nursery.run(asked, arguments, self.folder, env, timeout_s)
        return subprocess.run(
            [sys.executable, "-m", "batuta", *arguments], cwd=self.folder, text=True,
            capture_output=True, timeout=timeout_s, check=False, errors="replace",
            env=env,
        )  # fmt: skip


def kinds(envelope: Envelope) -> dict[str, str]:
    """Action kinds by name of the dataset."""
    return {a.target.resource.partition("/")[2]: a.kind for a in envelope.plan.actions}


def codes(envelope: Envelope) -> dict[str, list[str]]:
    """What blocks, by name of the dataset."""
    return {
        a.target.resource.partition("/")[2]: [d.code for d in a.diagnostics]
        for a in envelope.plan.actions
        if isinstance(a, Blocked)
    }


def unsettled(envelope: Envelope) -> dict[str, Any]:
    """What keeps a plan from being empty, with its reasons."""
    return {
        a.target.resource: (
            a.kind, [r.code for r in a.reasons], [str(c) for c in a.changes],
            [str(d.code) + " " + d.detail for d in getattr(a, "diagnostics", ())],
        )
        for a in envelope.plan.actions
        if not isinstance(a, NoOp)
    }  # fmt: skip


def waits(envelope: Envelope) -> bool:
    """True where a dataset waits for another one to be made."""
    return any(r.code == "waits-for-upstream" for a in envelope.plan.actions for r in a.reasons)


def multiset(table: pa.Table, names: Sequence[str] | None = None) -> Rows:
    """Rows without order; columns by name; NaN equal to itself."""
    wanted = sorted(names if names is not None else table.column_names)
    return Counter(repr([(n, row[n]) for n in wanted]) for row in table.to_pylist())


def fresh(path: Path) -> None:
    """Give files an old time, so that a stamp is trusted and a rewrite always shows."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            stat = file.stat()
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns - 3_600_000_000_000))


def tree(folder: Path, skip: Iterable[str] = ()) -> dict[str, bytes]:
    """All files below a folder with their content."""
    left_out = tuple(skip)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).as_posix().startswith(left_out)
    }


def without(envelope: Envelope) -> Envelope:
    """The envelope without what is volatile about it."""
    return replace(envelope, created_at="", timings_ms=(), free_bytes=(), state_serial=0)


def _ignore(_event: object) -> None:
    """Nobody listens."""


@dataclass
class Steps:
    """An engine that stays open while its sources change: plan, apply, look, again and again."""

    engine: Engine

    def apply(self, may_block: Iterable[str] = ()) -> dict[str, list[str]]:
        """Apply; return what was blocked, which may only be those that are named."""
        envelope = self.engine.plan(PlanRequest(), _ignore)
        report = self.engine.apply(envelope, _ignore, threading.Event())
        blocked = codes(envelope)
        failed = {
            o.address: [str(d) for d in o.diagnostics]
            for o in report.outcomes
            if o.status != "done" and o.address.partition("/")[2] not in blocked
        }
        assert failed == {}, failed
        assert blocked.keys() <= set(may_block), blocked
        return blocked

    def rests(self, may_block: Iterable[str] = ()) -> None:
        """Nothing is left to do."""
        envelope = self.engine.plan(PlanRequest(), _ignore)
        left = unsettled(envelope)
        allowed = {f"Dataset/{name}" for name in may_block}
        assert {k: v for k, v in left.items() if k not in allowed or v[0] != "blocked"} == {}

    def rows(self, name: str) -> Rows:
        """The rows of a dataset."""
        return multiset(rows_of(self.engine, name))

    def whole(self) -> None:
        """Every dataset verifies, and without the state there is nothing to do either."""
        for record in self.engine.records():
            found = self.engine.verify_dataset(record.address)
            assert found.ok, found.problems
