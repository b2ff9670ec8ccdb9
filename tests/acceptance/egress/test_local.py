"""Between local folders a worker has no way out and sees nothing but the folders of its work."""

import base64
import json

import pytest

from batuta.runtime.egress.audit import AuditLog, Row
from batuta.runtime.planning import PlanRequest
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.probe import finding
from tests.acceptance.egress.sink import Sink
from tests.acceptance.faults.space import Space, events, ids, write
from tests.kernel import requires_kernel

SOVEREIGNTY = 14
SOVEREIGN = (
    "source: {address: data/, origin: {tier: FullySovereign}}, destination: out/orders/,"
    " format: ald, tier: FullySovereign"
)
ALL = {b"by tcp", b"by udp", b"by unix"}
_FORCED = (
    "from batuta.runtime.sandbox import levels\n"
    "from batuta.runtime.sandbox.confinement import LAYERS_OF, Level\n"
    "level = Level({level!r})\n"
    "levels.choose = lambda need: levels.Choice(level=level, layers=LAYERS_OF[level])\n"
)


def _hostile_run(space: Space, sink: Sink, level: str | None) -> tuple[str, bool]:
    """Apply with workers that attack before they serve; return the text, and whether they stole."""
    secret, stolen = space.root.parent / "secret", space.root.parent / "stolen"
    secret.write_text("of somebody else")
    hostile = sink.hostile(str(secret), str(stolen))
    forced = "" if level is None else _FORCED.format(level=level)
    before = f"prepare_workers({hostile!r})\n{forced}"
    text = space.apply(before=before)
    return text, stolen.exists()


@pytest.fixture
def orders(space: Space) -> Space:
    """A FullySovereign dataset between two folders."""
    space.declare({"orders": SOVEREIGN})
    write(space.root / "data" / "a.parquet", ids(0, 1000))
    return space


def test_without_walls_a_hostile_worker_gets_out_by_every_way(orders: Space) -> None:
    """The control: the attempts of the next test are real ones."""
    with Sink(str(orders.root.parent)) as sink:
        text, stole = _hostile_run(orders, sink, "advisory")
        assert sink.taken == ALL
    assert stole
    assert "workers: enforced: false for 1 of 1" in " ".join(text.split())


@requires_kernel("user namespaces")
def test_a_sovereign_transfer_completes_and_nothing_leaves_its_workers(orders: Space) -> None:
    with Sink(str(orders.root.parent)) as sink:
        text, stole = _hostile_run(orders, sink, None)
        assert sink.taken == set()
    assert not stole
    assert f"workers: enforced, {_best()}" in " ".join(text.split())
    orders.holds(ids(0, 1000))


@requires_kernel("landlock", "seccomp")
def test_sealed_workers_complete_it_too_and_nothing_leaves_them(orders: Space) -> None:
    """What a default container gives: no namespace, and still no socket of any family."""
    with Sink(str(orders.root.parent)) as sink:
        text, stole = _hostile_run(orders, sink, "sealed")
        assert sink.taken == set()
    assert not stole
    assert "workers: enforced, sealed" in " ".join(text.split())
    orders.holds(ids(0, 1000))


def test_the_state_and_the_events_say_how_the_worker_was_confined(orders: Space) -> None:
    told = orders.root / "events.jsonl"
    code, text = orders.run("apply", "--yes", "--events", str(told))
    assert code == 0, text
    finished = [e for e in events(told) if e["kind"] == "action-finished"]
    engine = orders.engine()
    try:
        run = engine.runs()[0]
        step = engine.steps(run.id)[0]
    finally:
        engine.close()
    assert [(e["level"], e["enforced"]) for e in finished] == [(_best(), True)]
    assert isinstance(step.detail, dict)
    assert (step.detail["level"], step.detail["enforced"]) == (_best(), True)
    assert run.refused == 0


def test_where_no_level_can_be_had_a_declared_tier_is_refused_and_a_derived_one_goes_on(
    space: Space,
) -> None:
    """A machine without walls: exit code 15, nothing read, and the way out named."""
    write(space.root / "data" / "a.parquet", ids(0, 10))
    none = (
        "from batuta.runtime.sandbox import levels, probe\n"
        "found = probe.Finding(given=False, step='namespaces', reason='not permitted')\n"
        "real = levels.choose\n"
        "levels.choose = lambda need: real(need, lambda level: found)\n"
    )
    space.declare({"orders": SOVEREIGN})
    code, text = space.run("apply", "--yes", before=none)
    assert code == 15, text
    assert "EGR201" in text
    assert not (space.root / "out").exists()
    space.declare({"orders": "source: data/, destination: out/orders/, format: ald"})
    text = space.apply(before=none)
    assert "workers: enforced: false for 1 of 1" in " ".join(text.split())
    space.holds(ids(0, 10))
    code, text = space.run("data", "cat", "orders", "--limit", "1", before=none)
    assert (code, text.split()) == (0, ["id", "0"])
    space.declare({"orders": SOVEREIGN})
    code, text = space.run("data", "cat", "orders", before=none)
    assert code == 15, text
    assert "EGR201" in text


def test_many_small_datasets_need_few_workers(space: Space) -> None:
    """Datasets of one tier share workers; the log of launches is the pool's own."""
    names = [f"d{number:02}" for number in range(24)]
    for name in names:
        write(space.root / "data" / name / "a.parquet", ids(0, 10))
    space.declare({n: f"source: data/{n}/, destination: out/{n}/, format: ald" for n in names})
    count = (
        "import atexit\nfrom batuta.runtime.worker import warden\n"
        "real, made = warden.Warden.start, []\n"
        "def start(self, errand):\n    made.append(errand)\n    return real(self, errand)\n"
        "warden.Warden.start = start\n"
        "atexit.register(lambda: print(f'started {len(made)} workers'))\n"
    )
    text = space.apply(before=count)
    started = int(text.partition("started ")[2].partition(" workers")[0])
    engine = space.engine()
    size = engine.pool.size
    engine.close()
    assert started <= 2 * size, text


def test_a_source_that_is_replaced_between_two_plans_of_one_program_is_seen_anew(
    space: Space,
) -> None:
    """A worker is shown the folder that was there, not the name; it may not serve for another."""
    space.declare({"orders": "source: data/, destination: out/orders/, format: ald"})
    write(space.root / "data" / "a.parquet", ids(0, 10))
    engine = space.engine()
    try:
        first = engine.plan(PlanRequest(), lambda _event: None).plan
        (space.root / "data").rename(space.root / "before")
        write(space.root / "data" / "a.parquet", ids(50, 20))
        second = engine.plan(PlanRequest(), lambda _event: None).plan
    finally:
        engine.close()
    assert [a.volume.rows for a in (*first.actions, *second.actions)] == [10, 20]


def test_a_source_that_is_not_there_keeps_nobody_else_from_its_work(space: Space) -> None:
    write(space.root / "data" / "good" / "a.parquet", ids(0, 10))
    made = {n: f"source: data/{n}/, destination: out/{n}/, format: ald" for n in ("bad", "good")}
    space.declare(made)
    code, text = space.run("apply", "--yes")
    assert code != 0
    assert "LOC101" in text
    code, text = space.run("apply", "--yes", "--select", "good")
    assert code == 0, text
    space.holds(ids(0, 10), "good")


def test_a_signed_log_says_how_its_workers_were_confined(orders: Space) -> None:
    assert orders.run("keys", "generate")[0] == 0
    orders.apply()
    (signature,) = (orders.root / "out/orders/_log").glob("*.sig")
    payload = json.loads(signature.read_bytes())["payload"]
    said = json.loads(base64.b64decode(payload))["predicate"]
    assert said["enforcement"] == {"enforced": True, "level": _best()}


def _best() -> str:
    return str(next(level for level in (Level.ISOLATED, Level.SEALED) if finding(level).given))


def test_a_run_keeps_the_end_of_the_egress_log(orders: Space) -> None:
    """Also one whose workers tried nothing: what earlier runs tried must not be cut off after it."""
    log = AuditLog(orders.root / ".batuta" / "egress" / "audit.jsonl")
    log.append(Row(event="refused", dataset="Dataset/earlier", host="a.test", verdict="deny"))
    head = log.settled()
    log.close()
    orders.apply()
    engine = orders.engine()
    try:
        assert engine.runs()[0].egress_head == head
    finally:
        engine.close()
    code, text = orders.run("egress", "log")
    assert code == 0, text
    assert "anchored up to line 1" in text
    log.path.unlink()
    code, text = orders.run("egress", "log")
    assert code == SOVEREIGNTY, text
    assert "EGR304" in text


@requires_kernel("user namespaces")
def test_who_is_done_first_takes_no_folder_away_that_a_workers_start_needs(space: Space) -> None:
    """Many datasets share workers; each start mounts the staging folders of all of them."""
    names = [f"d{number:02}" for number in range(12)]
    for name in names:
        write(space.root / "data" / name / "a.parquet", ids(0, 10))
    space.declare({n: f"source: data/{n}/, destination: out/{n}/, format: arrow" for n in names})
    # Every worker is thrown away, so that each dataset has one started, slowly, while others end.
    before = (
        "import itertools, time; from batuta.runtime.worker import warden\n"
        "warden.Worker.settle = lambda self: False\n"
        "real, waits = warden.launch, itertools.cycle((0.0, 0.7, 0.0))\n"
        "def launch(*given):\n    time.sleep(next(waits))\n    return real(*given)\n"
        "warden.launch = launch\n"
    )
    space.apply(before=before)
    for name in names:
        assert not (space.root / "out" / name / "_staging" / "work").exists()
