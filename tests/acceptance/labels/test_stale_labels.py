"""A saved plan whose source got another label since, or lost it, is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.labels.shell import Json, Shell, public, sovereign

COPY = {
    "source": {"dataset": "web"}, "destination": "out/", "format": "parquet", "tier": "Standard",
}  # fmt: skip


def _raised(shell: Shell, copy: Json) -> None:
    """Its owner finds out that the data is secret."""
    shell.write({"web": sovereign("download/", "web/"), "copy": copy})
    shell.well("apply", "--yes", "--select", "web")


def _broken(shell: Shell, _copy: Json) -> None:
    seal = shell.folder / "web" / "_log" / f"{0:020d}.sig"
    seal.write_bytes(seal.read_bytes().replace(b"sig", b"gis", 1))


def _settled(shell: Shell, **fields: Any) -> None:
    """The copy is there, and a plan is saved that changes `fields` of it."""
    shell.write({"web": public("download/", "web/"), "copy": COPY})
    shell.well("apply", "--yes")
    shell.write({"web": public("download/", "web/"), "copy": COPY | fields})
    shell.well("plan", "--select", "copy", "--out", "copy.plan")


@pytest.mark.parametrize("move", [_raised, _broken])
def test_a_plan_to_copy_what_is_more_secret_by_now_is_refused(
    home: Shell, move: Callable[[Shell, Json], None]
) -> None:
    home.write({"web": public("download/", "web/"), "copy": COPY})
    home("plan", "--select", "copy", "--out", "copy.plan")
    move(home, COPY)

    assert home("apply", "copy.plan") == 6, home.said
    assert "PLN129" in home.said
    assert not (home.folder / "out").exists()


@pytest.mark.parametrize("move", [_raised, _broken])
def test_a_plan_that_writes_nothing_but_the_old_label_is_refused_as_well(
    home: Shell, move: Callable[[Shell, Json], None]
) -> None:
    _settled(home, protect=True)
    move(home, COPY | {"protect": True})

    assert home("apply", "copy.plan") == 6, home.said
    assert "PLN129" in home.said
    assert not (home.folder / "out" / f"_log/{1:020d}.json").exists()


def test_a_plan_holds_where_the_entry_above_moved_and_the_label_did_not(home: Shell) -> None:
    _settled(home, protect=True)
    home.well("label", "approve", "web", "--to", "PrivateCloud", "--endorse", "--reason", "r")

    home.well("apply", "copy.plan")
