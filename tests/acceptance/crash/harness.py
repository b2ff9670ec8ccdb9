"""Prepares workspaces, hands cases to a launcher, and judges what they answer."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.acceptance.crash.points import AFTER, BEFORE, DRIVER, WORKER, Kill, Point, Spec

ROOT = Path(__file__).resolve().parents[3]
FILES = 3
ROWS = 65_536 + 464
"""A row group of this many rows is two batches; the first one is already a whole chunk."""

NEXT = (["plan"], ["state", "list"], ["apply", "--yes"], ["runs"])


Result = tuple[Kill, Mapping[str, Any], bool]
"""Where it was to die, what was found afterwards, and whether it was hit there."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is synced to where. `replaces` says that another snapshot was there before.

    `files` is the number of files that are copied byte for byte; 0: rows are converted.
    `walls`: the workers of the disturbed run are started behind the walls that their tier needs.
    """

    name: str
    destination: str
    platform: str = ""
    replaces: bool = False
    files: int = 0
    walls: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def chunks(self) -> int:
        """How many chunks have to be read; a file that stays as it was is not read again."""
        return 1 if self.files else 2 * (FILES - self.replaces)


def write_source(folder: Path, edition: int) -> None:
    """Write a table of three files; in a later edition the first one is as it was."""
    folder.mkdir()
    for number in range(FILES):
        start = (number + (1000 * edition if number else 0)) * ROWS
        ids = pa.array(range(start, start + ROWS), pa.int64())
        table = pa.table({"id": ids, "even": pa.array([i % 2 == 0 for i in range(ROWS)])})
        pq.write_table(table, folder / f"day-{number}.parquet", use_dictionary=False)


def write_files(folder: Path, edition: int, count: int) -> None:
    """Write some files; in a later edition the first is as it was, the others keep their sizes."""
    folder.mkdir()
    for number in range(count):
        content = f"{edition if number else 0:03} {number:03}".encode() * 100
        (folder / f"{number:03}.bin").write_bytes(content)


def workspace(folder: Path, sources: Sequence[Path], scenario: Scenario) -> None:
    """Make a workspace whose source is the first of `sources`; the second one waits beside it."""
    folder.mkdir()
    for name, source in zip(("data", "data-next"), sources, strict=False):
        (folder / name).mkdir()
        for file in source.iterdir():
            os.link(file, folder / name / file.name)
    destination = scenario.destination.replace("CASE", folder.name)
    output = "files" if scenario.files else "ald"
    (folder / "batuta.yaml").write_text(
        "apiVersion: batuta.dev/v1\nkind: Workspace\nmetadata: {name: crash}\n"
        'spec: {manifests: ["batuta.yaml"]}\n'
        f"{scenario.platform}---\napiVersion: batuta.dev/v1\nkind: Dataset\n"
        "metadata: {name: orders}\n"
        f'spec: {{source: data/, destination: "{destination}", format: {output}}}\n'
    )


class Launcher:
    """A launcher process, which runs one case after another.

    One keeps a core busy, and tests run on as many cores as there are.
    """

    def __init__(self) -> None:
        # A worker asks for this before it imports Arrow; a forked one finds it imported.
        env = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "jemalloc", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.crash.launcher"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=ROOT, text=True,
        )  # fmt: skip

    def run(self, case: Mapping[str, Any]) -> dict[str, Any]:
        """Run a case; return what was found."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """Let the launcher end."""
        self._process.communicate()


class Bench:
    """The cases of one scenario in one folder."""

    def __init__(self, folder: Path, scenario: Scenario, launcher: Launcher) -> None:
        self._folder = folder
        self._scenario = scenario
        self._launcher = launcher
        self._numbers = itertools.count()
        self._sources = [folder / f"source-{edition}" for edition in (0, 1)]
        for edition, source in enumerate(self._sources):
            if scenario.files:
                write_files(source, edition, scenario.files)
            else:
                write_source(source, edition)

    def _case(
        self, kill: Kill | None, again: tuple[Kill | None, list[str]] | None = None,
        *, then_changes: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        number = next(self._numbers)
        folder = self._folder / f"{self._scenario.name}-{number}"
        workspace(folder, self._sources, self._scenario)
        trace = self._folder / f"{folder.name}.trace"
        name = f"{self._folder.name}/{folder.name}/"
        replaces = self._scenario.replaces
        changed = [["data", "data-before"], ["data-next", "data"]]
        return {
            "id": name,
            "folder": str(folder),
            "walls": self._scenario.walls,
            "environment": dict(self._scenario.environment),
            "spec": Spec(name, str(trace), kill).text(),
            "again": again and (Spec(name, f"{trace}.again", again[0]).text(), again[1]),
            "first": [["apply", "--yes"]] if replaces else [],
            "switch": changed if replaces else [],
            "then": changed if then_changes else [],
            "before": ["data-before"] if replaces else [],
            "next": list(NEXT[number % len(NEXT)]),
            "trace": f"{trace}.again" if again else str(trace),
        }

    def undisturbed(self) -> tuple[list[Point], dict[str, Any]]:
        """Return the points of a run that is not killed, and what it leaves."""
        return self._counted(self._case(None))

    def undisturbed_after(
        self, first: Kill, arguments: list[str]
    ) -> tuple[list[Point], dict[str, Any]]:
        """The same of a command that follows a death."""
        return self._counted(self._case(first, (None, arguments)))

    def _counted(self, case: dict[str, Any]) -> tuple[list[Point], dict[str, Any]]:
        answer = self._launcher.run(case)
        lines = Path(case["trace"]).read_text().splitlines()
        points = [_point(line) for line in lines if line.startswith("reached ")]
        return points, answer

    def killed(self, kills: Sequence[Kill], *, then_changes: bool = False) -> list[Result]:
        """Run one case for each kill; `then_changes`: the source is another one when it resumes."""
        return self._results(kills, [self._case(kill, then_changes=then_changes) for kill in kills])

    def killed_again(
        self, first: Kill, arguments: list[str], kills: Sequence[Kill]
    ) -> list[Result]:
        """Die at `first`, then, in the command that follows, at each of `kills`."""
        cases = [self._case(first, (kill, arguments)) for kill in kills]
        results = self._results(kills, cases)
        for case in cases:
            text = Path(case["trace"].removesuffix(".again")).read_text()
            assert f"killed {first.point}" in text.splitlines()
        return results

    def _results(self, kills: Sequence[Kill], cases: Sequence[dict[str, Any]]) -> list[Result]:
        answers = [self._launcher.run(case) for case in cases]
        return [
            (kill, answer, f"killed {kill.point}" in Path(case["trace"]).read_text().splitlines())
            for kill, case, answer in zip(kills, cases, answers, strict=True)
        ]


def _point(line: str) -> Point:
    _, process, kind, number = line.split()
    return Point(process, kind, int(number))


COMMITS = frozenset({"journal", "link", "request", "upload"})
"""Calls after which others may see what was done: a death there is not the same as before the next."""


def every_kill(points: Iterable[Point]) -> list[Kill]:
    """Return a death before each point, after what commits; in a worker also one with its driver.

    The death after any other call leaves what the one before the next call leaves.
    """
    kills = []
    for point in points:
        kills.append(Kill(point, BEFORE))
        if point.kind in COMMITS:
            kills.append(Kill(point, AFTER))
        if point.process == WORKER and point.kind == "chunk":
            kills.append(Kill(point, BEFORE, together=True))
    return kills


def ends(points: Iterable[Point]) -> list[Point]:
    """Return the first and the last point of each kind in each process, in their order."""
    every = list(points)
    first = {(point.process, point.kind): point for point in reversed(every)}
    last = {(point.process, point.kind): point for point in every}
    return [point for point in every if point in {*first.values(), *last.values()}]


def judge(scenario: Scenario, result: Result, wanted: Mapping[str, Any] | None = None) -> list[str]:
    """Return what is wrong after one kill, each a sentence that names the point.

    `wanted` is the answer of the undisturbed run, None where the dead run's work was of no use.
    """
    kill, answer, hit = result
    problems = list(answer["problems"])
    if not hit:
        problems.append("the point was never hit")
    dead = kill.point.process == DRIVER or kill.together
    if dead != (answer["code"] == -9):
        problems.append(f"the disturbed command ended with {answer['code']}")
    if answer["after"] != 0:
        problems.append(f"the look at it ended with {answer['after']}")
    if answer["workers_left"]:
        problems.append(f"workers were left: {answer['workers_left']}")
    if wanted is not None:
        problems += _differences(scenario, answer, wanted)
    return [f"{scenario.name}, killed {kill}: {problem}" for problem in problems]


def _differences(
    scenario: Scenario, answer: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[str]:
    problems = []
    again = 0 if answer.get("committed") else scenario.chunks - answer.get("checkpointed", 0)
    if answer.get("read") != again:
        problems.append(f"{answer.get('read')} chunks were read again, not {again}")
    for what in ("parts", "log"):
        if answer.get(what) != wanted[what]:
            problems.append(f"{what}: {answer.get(what)} instead of {wanted[what]}")
    return problems
