"""What a run writes down of itself: the weakest level, the policies, and where the egress log was."""

import json
from pathlib import Path

import pytest

from batuta.model.egress import LogHead
from batuta.model.log import Facts, Head, Label, LogEntry
from batuta.runtime.keys import KeyRing
from batuta.runtime.seals import Seals, said_in
from batuta.runtime.witness import Confined, Witness
from tests.unit.cli.plans import release

SINCE = "2026-01-01T00:00:00.000Z"
ENTRY = LogEntry(
    version=0, parent=None, written_at=SINCE, batuta_version="0", action="create",
    resource="Dataset/orders", owner="Created", plan="p",
    facts=Facts(
        source="data/in", source_version="v1", schema=None, format="files", mode="Mirror",
        tier="PrivateCloud", tier_derived=False,
    ),
    source=None, label=Label(confidentiality="PrivateCloud", integrity="Standard"),
)  # fmt: skip


@pytest.fixture
def seals(tmp_path: Path) -> Seals:
    KeyRing(tmp_path / "keys", tmp_path).generate(SINCE)
    return Seals(tmp_path / "keys", tmp_path, {"actor": "maria", "run": "r1"})


def _witness(seals: Seals | None = None) -> Witness:
    return Witness(seals, lambda name: f"policies of {name}", lambda: LogHead(7, "ab" * 32))


def _signed(seals: Seals, place: str = "out/") -> dict[str, object]:
    sign = seals.seal(place, "lake").sign
    assert sign is not None
    return dict(said_in(sign(Head(0, "cd" * 32), ENTRY)))


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((), (None, False)),
        (("isolated",), ("isolated", True)),
        (("isolated", "advisory", "sealed"), ("advisory", False)),
        (("isolated", "of a later batuta"), (None, False)),
    ],
)
def test_the_weakest_of_the_workers_counts(
    levels: tuple[str, ...], expected: tuple[str | None, bool]
) -> None:
    found = Confined.of(levels)
    assert (found.level, found.enforced) == expected


def test_an_outcome_says_how_all_workers_of_its_dataset_stood() -> None:
    witness = _witness()
    witness.heard("orders", "isolated")
    witness.heard("orders", "filtered")
    witness.heard("other", "advisory")
    action = release("orders")

    ended = witness.ended(action)
    assert (ended["level"], ended["policies"]) == ("filtered", "policies of orders")
    assert ended["destination"] == action.target.destination
    assert witness.ended(release("third"))["level"] is None
    begun = witness.begun(action)
    assert (begun["policies"], begun["destination"]) == (ended["policies"], ended["destination"])
    assert json.dumps([begun, ended])


def test_a_signature_tells_policies_level_place_and_the_head_of_the_egress_log(
    seals: Seals,
) -> None:
    _witness(seals).committing(release("orders"), Confined("isolated", enforced=True))
    said = _signed(seals)
    assert said["policies"] == "policies of orders"
    assert said["enforcement"] == {"enforced": True, "level": "isolated"}
    assert said["egress_head"] == {"n": 7, "digest": "ab" * 32}
    assert (said["place"], said["platform"], said["run"]) == ("out/", "lake", "r1")


def test_after_a_run_nothing_more_is_said_of_it(seals: Seals) -> None:
    """An approval that one process records after an apply is of no run and of no worker."""
    _witness(seals).committing(release("orders"), Confined("isolated", enforced=True))
    seals.forget()
    said = _signed(seals)
    assert not {"run", "enforcement", "policies", "egress_head"} & said.keys()
    assert (said["actor"], said["place"]) == ("maria", "out/")
