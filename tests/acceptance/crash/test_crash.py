"""A sync of 3 partitions and 2 chunks of each, killed with SIGKILL wherever something becomes durable.

The points are counted in a run that nobody disturbs: every journal write, fsync, link, rename,
removal, lease, chunk boundary, and every request that changes something in an object store. Each
of them is then hit, before the call and, where it commits, after it; and the workspace must come out
of it as if nothing had been: the same parts, the same log but for the time, nothing left over.

Each test keeps one core busy; the longest stand first, so that several can end at the same time.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crash.harness import Bench, Launcher, Scenario, ends, every_kill, judge
from tests.acceptance.crash.points import AFTER, BEFORE, DRIVER, WORKER, Kill, Point
from tests.conftest import Place
from tests.kernel import requires_kernel
from tests.plain import plain_text

LOCAL = {"journal", "fsync", "link", "rename", "unlink", "chunk", "lease", "unlease"}
S3 = {"journal", "request", "unlink", "chunk", "lease", "unlease"}


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    started = Launcher()
    yield started
    started.close()


def to_s3(name: str, place: Place, *, replaces: bool) -> Scenario:
    endpoint = place.server.endpoint
    platform = (
        "---\napiVersion: batuta.dev/v1\nkind: Platform\nmetadata: {name: lake}\n"
        f"spec: {{type: aws, network: OnPrem, region: {place.server.region}, "
        f'endpoints: ["{endpoint}"], cidrs: [127.0.0.0/8], '
        'credentials: {accessKeyId: "env:CRASH_ID", secretAccessKey: "env:CRASH_KEY"}, '
        f'aws: {{endpoint: "{endpoint}", pathStyle: true}}}}\n' + plain_text(endpoint)
    )
    environment = {
        "CRASH_ID": place.server.access_key,
        "CRASH_KEY": place.server.secret_key,
        # The store speaks plain HTTP; reading what TLS would trust is a third of what a case costs.
        "SSL_CERT_FILE": os.devnull,
    }
    return Scenario(name, f"{place.url}/CASE/orders/", platform, replaces, environment=environment)


def nothing_is_lost(bench: Bench, scenario: Scenario, kinds: set[str]) -> None:
    """Count, kill at each point, and judge; all findings together."""
    points, wanted = bench.undisturbed()
    assert wanted["problems"] == []
    assert kinds <= {point.kind for point in points if point.process == DRIVER}
    counts = Counter(point.kind for point in points if point.process == WORKER)
    assert counts["fsync"] >= scenario.chunks
    assert counts["chunk"] >= scenario.chunks
    if scenario.replaces:  # what workers do there is what they do for a new dataset
        points = [point for point in points if point.process == DRIVER]
        # So is what is written down; only what becomes of the files is another story.
        points = [point for point in points if point.kind not in {"journal", "lease", "unlease"}]
    results = bench.killed(every_kill(points))
    found = [problem for result in results for problem in judge(scenario, result, wanted)]
    assert not found, f"{len(found)} problems in {len(results)} kills:\n" + "\n".join(found)


def test_a_new_dataset_on_s3_survives_a_kill_at_every_point(
    tmp_path: Path, launcher: Launcher, bucket: Place
) -> None:
    scenario = to_s3("new-s3", bucket, replaces=False)
    nothing_is_lost(Bench(tmp_path, scenario, launcher), scenario, S3)


def test_a_replaced_dataset_on_s3_survives_a_kill_at_every_point(
    tmp_path: Path, launcher: Launcher, bucket: Place
) -> None:
    scenario = to_s3("replaced-s3", bucket, replaces=True)
    nothing_is_lost(Bench(tmp_path, scenario, launcher), scenario, S3)


def test_a_new_dataset_survives_a_kill_at_every_point(tmp_path: Path, launcher: Launcher) -> None:
    scenario = Scenario("new", "out/orders/")
    nothing_is_lost(Bench(tmp_path, scenario, launcher), scenario, LOCAL)


@requires_kernel("user namespaces")
def test_a_new_dataset_survives_kills_whose_workers_are_behind_walls(
    tmp_path: Path, launcher: Launcher
) -> None:
    """Everywhere else they are forked without walls, since launches would be most of the time."""
    scenario = Scenario("walls", "out/orders/", walls=True)
    bench = Bench(tmp_path, scenario, launcher)
    points, wanted = bench.undisturbed()
    assert wanted["problems"] == []
    together = Kill(Point(WORKER, "chunk", 1), BEFORE, together=True)
    results = bench.killed([*(Kill(point, BEFORE) for point in ends(points)), together])
    found = [problem for result in results for problem in judge(scenario, result, wanted)]
    assert not found, "\n".join(found)


def test_a_replaced_dataset_survives_a_kill_at_every_point(
    tmp_path: Path, launcher: Launcher
) -> None:
    scenario = Scenario("replaced", "out/orders/", replaces=True)
    nothing_is_lost(Bench(tmp_path, scenario, launcher), scenario, LOCAL)


def test_replaced_files_survive_a_kill_at_every_point(tmp_path: Path, launcher: Launcher) -> None:
    """Byte for byte copies: each new content takes the path of the old one, with its size."""
    scenario = Scenario("files", "out/orders/", replaces=True, files=3)
    nothing_is_lost(Bench(tmp_path, scenario, launcher), scenario, LOCAL)


def test_many_files_that_are_made_durable_at_once_survive_a_kill_there(
    tmp_path: Path, launcher: Launcher
) -> None:
    scenario = Scenario("many", "out/orders/", files=20)
    bench = Bench(tmp_path, scenario, launcher)
    points, wanted = bench.undisturbed()
    points = [point for point in points if point.kind in {"syncfs", "chunk"}]
    assert {point.kind for point in points} == {"syncfs", "chunk"}
    results = bench.killed(every_kill(points))
    found = [problem for result in results for problem in judge(scenario, result, wanted)]
    assert not found, "\n".join(found)


FIRST = {
    "in mid-publication": Kill(Point(DRIVER, "rename", 3), AFTER),
    "after the commit": Kill(Point(DRIVER, "link", 2), AFTER),
}


@pytest.mark.parametrize(
    ("files", "first", "command"),
    [
        (0, "in mid-publication", "apply --yes"),
        (3, "in mid-publication", "apply --yes"),
        (0, "after the commit", "state list"),
        (3, "after the commit", "state list"),
    ],
)
def test_a_death_in_the_recovery_is_recovered_from(
    tmp_path: Path, launcher: Launcher, files: int, first: str, command: str
) -> None:
    arguments = command.split()
    scenario = Scenario("again", "out/orders/", replaces=True, files=files)
    bench = Bench(tmp_path, scenario, launcher)
    _, wanted = bench.undisturbed()
    points, _ = bench.undisturbed_after(FIRST[first], arguments)
    points = [p for p in points if p.process == DRIVER and p.kind not in {"lease", "unlease"}]
    assert points
    kills = [Kill(point, BEFORE) for point in points]
    results = bench.killed_again(FIRST[first], arguments, kills)
    found = [
        problem
        for result in results
        for problem in judge(scenario, result, wanted)
        if "read again" not in problem  # how much was left is the second death's to say
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("files", [0, 3], ids=["rows", "files"])
def test_a_dead_run_whose_source_has_changed_leaves_nothing_in_the_way(
    tmp_path: Path, launcher: Launcher, files: int
) -> None:
    """Its chunks, its intent and what it published are of no use any more."""
    scenario = Scenario("changed", "out/orders/", files=files)
    bench = Bench(tmp_path, scenario, launcher)
    kills = [
        Kill(Point(DRIVER, kind, number), AFTER)
        for kind, number in (("chunk", 1), ("link", 1), ("rename", 2), ("rename", 3))
    ]
    results = bench.killed(kills, then_changes=True)
    found = [problem for result in results for problem in judge(scenario, result)]
    assert not found, "\n".join(found)
