"""`batuta doctor`: the verdict comes first, and every line to copy stands alone."""

import json
from types import MappingProxyType

from batuta.cli.commands import doctor as command
from batuta.cli.views import doctor as view
from batuta.cli.views.page import Page, plain
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.probe import Finding
from batuta.runtime.sandbox.report import Report, doctor

GIVEN = Finding(given=True, layers=frozenset({"seccomp", "landlock"}))
NOT = Finding(given=False, step="namespaces", errno=1, reason="Operation not permitted")


def _report(*given: Level) -> Report:
    return doctor({level: GIVEN if level in given else NOT for level in Level}.__getitem__)


def _text(report: Report) -> str:
    return plain(view.report(Page(), report))


def test_a_whole_machine() -> None:
    text = _text(_report(*Level))

    assert text.startswith("Every tier can be enforced here, with every layer.\n")
    assert "FullySovereign   isolated               isolated\n" in text


def test_a_container_shows_what_is_refused_and_what_would_help() -> None:
    text = _text(_report(Level.SEALED, Level.FILTERED))

    assert text.startswith("Not every run can be enforced here; this machine gives sealed and")
    assert "HybridSovereign  sealed                 refused (filtered where the egress" in text
    assert "isolated: not given\n  step namespaces: Operation not permitted\n" in text
    assert "  to raise it, " in text


def test_where_nothing_can_be_had_it_is_said_first() -> None:
    text = _text(_report())

    assert text.startswith("Nothing can be enforced here: declared tiers above Standard are")
    assert "Standard         advisory               advisory\n" in text


def test_a_missing_layer_is_named() -> None:
    lost = MappingProxyType({"nftables": "nft is not installed"})
    report = doctor(lambda _: Finding(given=True, lost=lost))

    assert "some layers are missing" in _text(report)
    assert "without nftables: nft is not installed" in _text(report)


def test_json_holds_the_same() -> None:
    document = json.loads(command.as_json(_report(Level.SEALED)))

    levels = {each["level"]: each["given"] for each in document["levels"]}
    assert levels == {"isolated": False, "sealed": True, "filtered": False}
    assert document["tiers"][0] == {
        "tier": "FullySovereign",
        "local": "sealed",
        "network": None,
        "policy": None,
    }
