"""`batuta audit`: what the document tells, what it admits not to know, and that it holds offline."""

import json
import shutil
from pathlib import Path

import pytest

from batuta.runtime.egress.audit import AuditLog, Row
from tests.acceptance.labels.shell import PUBLIC, Shell, public, sovereign


def test_an_audit_tells_versions_runs_decisions_and_copies(home: Shell) -> None:
    home.well("label", "approve", "model", "--to", "Standard", "--reason", "published, TICKET-9")
    home.well("data", "sync", "model/", "third/", "--format", "parquet", "--yes")
    body = home.audit("model")

    assert (body["resource"], body["place"], body["made_by"]) == (
        "Dataset/model", "model/", "maria",
    )  # fmt: skip
    first, second = body["versions"]
    assert (first["action"], first["tier"]) == ("create", "FullySovereign")
    assert first["label"]["confidentiality"] == "FullySovereign"
    assert first["signature"] == second["signature"] == "good"
    (decision,) = second["approvals"]
    assert (decision["by"], decision["reason"]) == ("maria", "published, TICKET-9")
    (run,) = body["runs"]
    assert (run["actor"], run["status"], run["plan"]) == ("maria", "done", first["plan"])
    assert {copy["resource"].partition("-")[0] for copy in body["copies"]} == {
        "Dataset/mine", "Dataset/third",
    }  # fmt: skip
    assert all(copy["versions"] for copy in body["copies"])
    assert any("no egress log" in gap for gap in body["gaps"])
    assert any("other tools" in sentence for sentence in body["unknown"])


def test_since_begins_with_the_version_that_was_current_then(home: Shell) -> None:
    home.table("download", PUBLIC.slice(0, 1))
    home.well("apply", "--yes")
    home.table("download", PUBLIC.slice(1, 1))
    home.well("apply", "--yes")
    at = home.entry("web", 1)["written_at"]

    assert [v["version"] for v in home.audit("web", "--since", at)["versions"]] == [1, 2]
    assert [v["version"] for v in home.audit("web", "--since", "1d")["versions"]] == [0, 1, 2]
    later = home.audit("web", "--since", "2999-01-01")
    assert [v["version"] for v in later["versions"]] == [2]
    assert later["runs"] == []


def test_an_audit_holds_offline_with_the_trust_file_and_nothing_else(
    home: Shell, tmp_path: Path
) -> None:
    home.well("audit", "model", "--out", "audit.json")
    auditor = tmp_path / "auditor"
    auditor.mkdir()
    shutil.copy(home.folder / "audit.json", auditor)
    shutil.copy(home.folder / ".batuta" / "keys" / "trust.json", auditor)
    elsewhere = Shell(auditor)

    said = elsewhere.well("audit", "--verify", "audit.json", "--trust", "trust.json")
    assert "holds" in said
    assert elsewhere("audit", "--verify", "audit.json") == 1
    assert "AUD102" in elsewhere.said

    path = auditor / "audit.json"
    path.write_bytes(path.read_bytes().replace(b"A", b"B", 1))
    assert elsewhere("audit", "--verify", "audit.json", "--trust", "trust.json") == 1
    assert "does NOT hold" in elsewhere.out or "AUD101" in elsewhere.err


def test_an_audit_needs_a_key_and_something_to_audit(shell: Shell) -> None:
    shell.table("download", PUBLIC)
    shell.write({})
    shell.well("data", "sync", "download/", "web/", "--format", "parquet", "--yes")
    assert shell("audit", "web/") == 1
    assert "KEY105" in shell.err
    shell.well("keys", "generate")
    shell.well("audit", "web/")
    assert shell("audit", "download/") == 1
    assert "AUD104" in shell.err
    assert shell("audit") == 3
    assert shell("audit", "web/", "--verify", "x") == 3
    assert shell("audit", "web/", "--since", "yesterday") == 3


def test_what_is_missing_is_said(home: Shell) -> None:
    assert not any("state remembers" in gap for gap in home.audit("model")["gaps"])
    (home.folder / ".batuta" / "state.db").unlink()
    gaps = home.audit("model")["gaps"]

    assert any("no state here remembers" in gap for gap in gaps)
    assert any("no run in this state has its plan" in gap for gap in gaps)
    (home.folder / "model" / "_log" / f"{0:020d}.sig").unlink()
    assert any("version 0 is not signed" in gap for gap in home.audit("model")["gaps"])


def test_a_place_that_the_dataset_left_is_said(home: Shell) -> None:
    """A move leaves the old files where they are; an audit that named only the new place hid that."""
    specs = {"model": sovereign("secret/", "elsewhere/"), "web": public("download/", "web/")}
    home.write(specs)
    home.well("apply", "--yes")
    body = home.audit("model")

    assert body["place"] == "elsewhere/"
    (gap,) = [gap for gap in body["gaps"] if "another place" in gap]
    assert body["runs"][0]["id"] in gap
    assert not any("another place" in gap for gap in home.audit("web")["gaps"])


def test_a_copy_of_a_copy_is_told_with_what_it_was_made_from(home: Shell) -> None:
    home.well("data", "sync", "mine/", "third/", "--format", "parquet", "--yes")
    home.well("data", "sync", "third/", "fourth/", "--format", "parquet", "--yes")
    copies = {c["resource"].partition("-")[0]: c for c in home.audit("model")["copies"]}

    assert set(copies) == {"Dataset/mine", "Dataset/third", "Dataset/fourth"}
    assert copies["Dataset/mine"]["made_from"] == "Dataset/model"
    assert copies["Dataset/third"]["made_from"] == copies["Dataset/mine"]["resource"]
    assert copies["Dataset/fourth"]["made_from"] == copies["Dataset/third"]["resource"]


def test_a_dataset_that_is_no_longer_recorded_may_be_a_copy_and_is_said(home: Shell) -> None:
    assert not any("no longer recorded" in gap for gap in home.audit("model")["gaps"])
    (record,) = [r for r in _resources(home) if r.startswith("Dataset/mine")]
    home.well("release", record, "--yes")
    (gap,) = [gap for gap in home.audit("model")["gaps"] if "no longer recorded" in gap]
    assert record in gap


def _resources(shell: Shell) -> list[str]:
    with shell.open() as engine:
        return [record.address for record in engine.store.resources()]


@pytest.mark.parametrize("attack", ["none", "a row removed"])
def test_connections_come_from_the_egress_log_and_a_row_that_is_gone_is_a_gap(
    home: Shell, attack: str
) -> None:
    """EG-210: one row less is found."""
    path = home.folder / ".batuta" / "egress" / "audit.jsonl"
    log = AuditLog(path)
    for host in ("one.test", "two.test", "three.test"):
        log.append(Row(event="refused", dataset="Dataset/model", host=host, verdict="deny"))
    log.append(Row(event="refused", dataset="Dataset/web", host="other.test"))
    log.close()
    if attack != "none":
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([lines[0], *lines[2:]]))
    body = home.audit("model")

    hosts = [row["host"] for row in body["connections"]]
    assert "other.test" not in hosts
    assert len(hosts) == (3 if attack == "none" else 2)
    found = [gap for gap in body["gaps"] if gap.startswith("egress log")]
    assert bool(found) == (attack != "none")


def test_an_audit_is_one_line_of_canonical_json(home: Shell) -> None:
    text = home.well("audit", "model")
    assert text.count("\n") == 1
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) == text.strip()
