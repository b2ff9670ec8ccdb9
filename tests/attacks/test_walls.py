"""What a worker tries behind each wall: the probe, the sinks and the neighbours are the judges."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.attacks import probes
from tests.attacks.harness import SOMEBODY, Internet, users
from tests.kernel import requires_kernel

pytestmark = [
    requires_kernel("user namespaces", "network namespaces", "seccomp", "landlock", "nftables"),
    pytest.mark.xdist_group("internet"),
]


class Wall(NamedTuple):
    """A level, and whether it has a way out."""

    level: str
    gateway: bool


NONE, GATEWAY = Wall("isolated", False), Wall("isolated", True)
SEALED, FILTERED = Wall("sealed", False), Wall("filtered", True)
WALLS = [NONE, GATEWAY, SEALED, FILTERED]
WHO = ["runner" if uid is None else "somebody" for uid in users()]

# Filtered: a connect succeeds, and its other end is the gateway's.
AT_THE_GATEWAY = {"EG-006", "EG-006-v6", "EG-006-private", "EG-006-metadata", "EG-009"}
# It lies in the attempt that it succeeds: the daemon runs, for as long as its worker.
HARMLESS = {"EG-030"}

CLIENTS = len(probes.CLIENTS)


# Rows of these groups that are tried elsewhere: EG-036 is the whole group `egress` at NONE and
# SEALED, and EG-063 is about the names that connectors make of keys.
ELSEWHERE = {"EG-036", "EG-063"}
GROUPS = {"direct-egress", "local-escape", "filesystem"}
TABLE = Path(__file__).resolve().parents[1] / "data" / "egress" / "attacks.yaml"


def test_every_row_of_the_table_is_tried() -> None:
    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["attacks"]
    wanted = {row["id"] for row in rows if row["group"] in GROUPS}

    assert wanted - ELSEWHERE - {*probes.EGRESS, *probes.ESCAPES, *probes.FILES} == set()


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    """The sinks, proven to hear: the supervisor reaches them, and a worker without walls does."""
    with Internet() as made:
        made.call("tests.attacks.scenes:control")
        heard = {record["to"] for record in made.seen() if record["kind"] in ("tcp", "udp")}
        assert {"23.20.0.12:443", "23.20.0.12:80", "[2600:1f00::12]:80"} & heard
        assert any(record["head"] == "CONTROL" for record in _again(made))
        yield made


def _again(made: Internet) -> list[dict[str, Any]]:
    made.call("tests.attacks.scenes:control")
    return made.seen()


def _uid(who: str) -> int | None:
    return None if who == "runner" else SOMEBODY


def _attempts(
    internet: Internet, group: str, wall: Wall, who: str = "runner", **more: Any
) -> dict[str, Any]:
    done: dict[str, Any] = internet.call(
        "tests.attacks.scenes:attempts", uid=_uid(who), groups=[group], level=wall.level,
        gateway=wall.gateway, **more,
    )  # fmt: skip
    assert done["outcomes"] is not None, f"the worker ended with {done['returncode']}"
    return done


def _succeeded(done: dict[str, Any]) -> set[str]:
    return {each["name"] for each in done["outcomes"] if each["done"]}


def test_without_walls_the_attempts_reach_the_sinks(internet: Internet) -> None:
    # All but the daemon, which would hold these connections open into the next test.
    names = [name for name in probes.EGRESS if name != "EG-030"]
    done = internet.call(
        "tests.attacks.scenes:attempts", groups=["egress"], level=None, names=names
    )

    reached = {record["to"] for record in internet.seen()}
    assert {"23.20.0.12:443", "23.20.0.12:80", "10.9.9.9:80", "169.254.169.254:80"} <= reached
    assert {"23.20.0.53:53", "2600:1f00::12"} <= reached
    assert done["reached"] == ["loopback"]
    assert {"EG-006", "EG-012", "EG-015", "EG-024-mptcp"} <= _succeeded(done)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: f"{wall.level}-{wall.gateway}")
def test_nothing_gets_out(internet: Internet, wall: Wall, who: str) -> None:
    done = _attempts(internet, "egress", wall, who)

    allowed = HARMLESS | (AT_THE_GATEWAY if wall is FILTERED else set())
    assert _succeeded(done) - allowed == set()
    assert internet.seen() == []
    assert done["reached"] == []
    # Every connect of the filtered worker came to the gateway instead.
    assert done["dials"] >= len(AT_THE_GATEWAY) or wall is not FILTERED


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: f"{wall.level}-{wall.gateway}")
@pytest.mark.parametrize("group", ["escapes", "files"])
def test_nothing_of_the_host_is_reached(
    internet: Internet, group: str, wall: Wall, who: str
) -> None:
    done = _attempts(internet, group, wall, who)

    assert _succeeded(done) == set()
    assert done["reached"] == []
    assert set(done["staged"]) <= {"program"}
    assert internet.seen() == []


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: f"{wall.level}-{wall.gateway}")
def test_work_goes_on_behind_the_walls(internet: Internet, wall: Wall, who: str) -> None:
    done = _attempts(internet, "works", wall, who)

    failed = [each for each in done["outcomes"] if not each["done"]]
    assert failed == []
    assert internet.seen() == []


def test_a_32_bit_entry_is_killed(internet: Internet) -> None:
    done = _attempts(internet, "egress", NONE, names=["EG-027"])

    assert done["outcomes"][0]["text"].endswith("ended with -31")  # SIGSYS


@pytest.mark.parametrize("wall", [NONE, SEALED], ids=["isolated", "sealed"])
def test_clients_in_python_rust_and_c_do_not_get_out(internet: Internet, wall: Wall) -> None:
    internet.call("tests.attacks.scenes:attempts", groups=["clients"], level=None)
    heard = [each for each in internet.seen() if each["to"] == "23.20.0.12:80"]
    assert len(heard) >= CLIENTS

    done = _attempts(internet, "clients", wall)

    assert _succeeded(done) == set()
    assert internet.seen() == []


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: f"{wall.level}-{wall.gateway}")
def test_what_the_worker_left_running_ends_with_it(
    internet: Internet, wall: Wall, who: str
) -> None:
    _attempts(internet, "egress", wall, who, names=["EG-030"], daemon_s=1)

    time.sleep(1.5)
    assert internet.seen() == []


def test_without_walls_the_daemon_outlives_its_worker(internet: Internet) -> None:
    internet.call(
        "tests.attacks.scenes:attempts", groups=["egress"], level=None, names=["EG-030"], daemon_s=1
    )

    time.sleep(1.5)
    assert any(record["head"] == "DAEMON" for record in internet.seen())


# Which attempts nothing but the layer stops, or which do no harm behind the others.
ALONE = {
    "seccomp": {"EG-018", "X-io-uring", "X-netlink", "X-unix-datagram-pair", "X-shared-memory"},
    "landlock": {"EG-060"},  # the publisher refuses what is left: test_publish.py
}
TOGETHER = {"network": ["network", "nftables"], "pid": ["pid", "mount", "proc"]}
LAYERS = [
    *("seccomp", "landlock", "network", "mount", "pid", "ipc"),
    *("nftables", "no-more-namespaces", "proc"),
]


@pytest.mark.parametrize("wall", [NONE, GATEWAY], ids=["none", "gateway"])
@pytest.mark.parametrize("layer", LAYERS)
def test_with_one_layer_less_the_second_holds(internet: Internet, layer: str, wall: Wall) -> None:
    without = TOGETHER.get(layer, [layer])
    for group in ("escapes", "egress", "files"):
        done = _attempts(internet, group, wall, without=without)

        assert _succeeded(done) - ALONE.get(layer, set()) - HARMLESS == set(), group
        assert done["reached"] == []
    assert internet.seen() == []


def test_landlock_alone_is_no_level(internet: Internet) -> None:
    done = _attempts(internet, "egress", SEALED, without=["seccomp"])

    assert "EG-012" in _succeeded(done)
    assert any(record["kind"] == "udp" for record in internet.seen())


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("level", ["isolated", "filtered"])
def test_the_way_out_leads_to_the_gateway(internet: Internet, level: str, who: str) -> None:
    done = internet.call("tests.attacks.scenes:gateway_round", uid=_uid(who), level=level)

    told = {
        each["name"]: (each["done"], each["text"] or each["error"]) for each in done["outcomes"]
    }
    assert told["blocking"] == (True, "answer")
    assert told["asyncio"] == (True, "answer")
    assert told["unblocking"] == (True, "did not block")
    # Filtered hands every connect to the gateway; isolated has no other address at all.
    assert told["elsewhere"][0] is (level == "filtered")
    heard = {"blocking", "asyncio", "unblocking"} | (
        {"elsewhere"} if level == "filtered" else set()
    )
    assert set(done["heard"]) == heard
    assert internet.seen() == []
