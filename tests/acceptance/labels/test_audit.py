"""`batuta audit`: what the document tells, what it admits not to know, and that it holds offline."""

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batuta.model.canonical import canonical_bytes
from batuta.runtime.egress.audit import AuditLog, Row
from batuta.runtime.state.lease import LeaseKeeper
from batuta.runtime.state.store import put_run
from tests.acceptance.labels.shell import PUBLIC, SECRET, Shell, public, sovereign


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


def test_the_run_that_made_the_version_current_at_since_is_told_and_no_gap(home: Shell) -> None:
    """It ended before that time, and is in the state all the same."""
    path = _refusals(home, 3)
    home.table("download", PUBLIC.slice(0, 1))
    home.well("apply", "--yes")
    whole = home.audit("web")
    later = home.audit("web", "--since", "2999-01-01")

    (version,) = later["versions"]
    assert version["version"] == 1
    assert later["runs"] == whole["runs"][1:]
    assert later["gaps"] == whole["gaps"] == []
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    gaps = home.audit("web", "--since", "2999-01-01")["gaps"]
    assert [gap.partition(":")[0] for gap in gaps] == ["egress log (EGR304)"]


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

    path = auditor / "audit.json"
    path.write_bytes(path.read_bytes().replace(b"A", b"B", 1))
    assert elsewhere("audit", "--verify", "audit.json", "--trust", "trust.json") == 1
    assert "does NOT hold" in elsewhere.out or "AUD101" in elsewhere.err


def test_without_a_trusted_key_nobody_is_accused_and_it_is_said_how_to_give_one(
    home: Shell, tmp_path: Path
) -> None:
    home.well("audit", "model", "--out", "audit.json")
    auditor = tmp_path / "auditor"
    auditor.mkdir()
    shutil.copy(home.folder / "audit.json", auditor)
    elsewhere = Shell(auditor)

    assert elsewhere("audit", "--verify", "audit.json") == 1
    assert "cannot be judged" in elsewhere.out
    assert "NOT hold" not in elsewhere.out
    assert _codes(elsewhere) == {"AUD105"}
    assert "--trust TRUST" in elsewhere.said

    # Whoever trusts others than the one who signed: still nothing that contradicts itself.
    stranger = Shell(tmp_path / "stranger")
    stranger.folder.mkdir()
    stranger.write({})
    stranger.well("keys", "generate")
    shutil.copy(home.folder / "audit.json", stranger.folder)
    assert stranger("audit", "--verify", "audit.json") == 1
    assert "does NOT hold" in stranger.out
    assert _codes(stranger) == {"AUD102"}


def test_what_does_not_fit_together_is_told_without_a_trusted_key_too(
    home: Shell, tmp_path: Path
) -> None:
    home.well("audit", "model", "--out", "audit.json")
    envelope = json.loads((home.folder / "audit.json").read_bytes())
    body = json.loads(base64.b64decode(envelope["payload"]))
    body["versions"][0]["rows"] += 1
    envelope["payload"] = base64.b64encode(canonical_bytes(body)).decode()
    (tmp_path / "audit.json").write_bytes(canonical_bytes(envelope) + b"\n")

    elsewhere = Shell(tmp_path)
    assert elsewhere("audit", "--verify", "audit.json") == 1
    assert "does NOT hold" in elsewhere.out
    assert _codes(elsewhere) == {"AUD103", "AUD105"}


def _codes(shell: Shell) -> set[str]:
    return set(re.findall(r"AUD\d+", shell.out + shell.err))


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


def test_whoever_makes_an_audit_is_told_its_gaps_and_what_it_cannot_show(home: Shell) -> None:
    home.well("audit", "web", "--out", "audit.json")
    assert home.out == ""
    assert "Wrote audit.json: Dataset/web, 1 version, 1 run, 0 connections." in home.said
    assert "has 1 gap: - there is no egress log here" in home.said
    assert "`data verify` hashes files" in home.said

    _refusals(home, 1)
    body = home.audit("web")
    assert body["gaps"] == []
    assert "no gaps that it would show" in home.said
    assert all(sentence in home.said for sentence in body["unknown"])


def test_of_many_gaps_some_are_told_and_the_others_counted(home: Shell) -> None:
    for number in range(6):
        home.table("download", PUBLIC.slice(0, 1 + number % 2))
        home.well("apply", "--yes", "--resync", "web")
    (home.folder / ".batuta" / "state.db").unlink()
    found = len(home.audit("web")["gaps"])
    assert found > 8
    assert f"The record has {found} gaps:" in home.said
    assert home.err.count("\n  - ") == 8 + len(home.audit("web")["unknown"])
    assert f"and {found - 8} more, in its field `gaps`" in home.said


def test_each_version_says_where_it_lay_and_how_that_is_known(home: Shell) -> None:
    home.well("label", "approve", "model", "--to", "Standard", "--reason", "published, TICKET-9")
    versions = home.audit("model")["versions"]
    assert [(v["place"], v["place_from"]) for v in versions] == [("model/", "signature")] * 2
    (home.folder / "model" / "_log" / f"{0:020d}.sig").unlink()
    body = home.audit("model")
    found = [(v["place"], v["place_from"]) for v in body["versions"]]
    assert found == [("model/", "state"), ("model/", "signature")]
    assert not any("lay when it was made" in gap for gap in body["gaps"])
    (home.folder / ".batuta" / "state.db").unlink()
    body = home.audit("model")
    assert [v["place"] for v in body["versions"]] == [None, "model/"]
    (gap,) = [gap for gap in body["gaps"] if "lay when it was made" in gap]
    assert gap.startswith("where version 0 lay")


def test_the_versions_at_a_place_that_the_dataset_left_are_told_with_their_proof(
    home: Shell,
) -> None:
    """A move leaves the old files where they are; an audit that named only the new place hid that."""
    home.well("apply", "--yes")
    moved = {"model": sovereign("secret/", "elsewhere/"), "web": public("download/", "web/")}
    home.write(moved)
    home.well("apply", "--yes")
    home.well("audit", "model", "--out", "audit.json")
    assert "versions: 2, of which 2 are signed" in " ".join(
        home.well("audit", "--verify", "audit.json").split()
    )
    body = home.audit("model")

    assert (body["place"], [v["place"] for v in body["versions"]]) == ("elsewhere/", ["elsewhere/"])
    (before,) = body["earlier"]
    assert before["place"] == "model/"
    (version,) = before["versions"]
    assert (version["place"], version["tier"]) == ("model/", "FullySovereign")
    assert version["label"]["confidentiality"] == "FullySovereign"
    assert {copy["resource"].partition("-")[0] for copy in body["copies"]} == {"Dataset/mine"}
    assert not any("another place" in gap or "what was left" in gap for gap in body["gaps"])
    assert home.audit("web")["earlier"] == []

    at = body["versions"][0]["written_at"]
    assert [len(home.audit("model", "--since", t)["earlier"]) for t in (at, "1d")] == [0, 1]
    shutil.rmtree(home.folder / "model")
    body = home.audit("model")
    assert body["earlier"] == []
    (gap,) = [gap for gap in body["gaps"] if "what was left" in gap]
    assert "at model/" in gap


def test_a_version_since_a_time_that_was_cut_back_and_made_anew_is_a_gap(home: Shell) -> None:
    """The log began before that time, but what it had since then is not all there."""
    home.table("download", PUBLIC.slice(0, 1))
    home.well("apply", "--yes")
    at = home.entry("web", 1)["written_at"]
    home.table("download", PUBLIC.slice(1, 1))
    home.well("apply", "--yes")
    for ending in ("json", "sig"):
        (home.folder / "web" / "_log" / f"{2:020d}.{ending}").unlink()
    home.well("data", "verify", "web", "--accept-head", "restored from a copy")
    home.well("apply", "--yes", "--resync", "web")

    (lost,) = [gap for gap in home.audit("web")["gaps"] if "any more" in gap]
    assert lost in home.audit("web", "--since", at)["gaps"]
    later = home.entry("web", 2)["written_at"]
    assert not any("any more" in gap for gap in home.audit("web", "--since", later)["gaps"])


def test_a_version_since_a_time_at_a_place_that_was_left_again_is_told(home: Shell) -> None:
    """Sent there and back: the log at the last place began before that time."""
    for place in ("elsewhere/", "model/"):
        at = home.entry("model", 0)["written_at"]
        home.write({"model": sovereign("secret/", place), "web": public("download/", "web/")})
        home.well("apply", "--yes")
    body = home.audit("model", "--since", at)

    assert body["place"] == "model/"
    (left,) = body["earlier"]
    assert [v["place"] for v in left["versions"]] == ["elsewhere/"]
    assert not any("does not have" in gap for gap in body["gaps"])


def test_a_journal_that_did_not_keep_places_makes_a_gap(home: Shell) -> None:
    """As an older batuta wrote it: a version is known to be somewhere else, and not where."""
    with home.open() as engine, LeaseKeeper(engine.store, "test"):
        sql = "UPDATE steps SET detail = json_remove(detail, '$.destination', '$.policies')"
        engine.store.write([(sql, ())])
    home.write({"model": sovereign("secret/", "elsewhere/"), "web": public("download/", "web/")})
    home.well("apply", "--yes")
    body = home.audit("model")
    assert body["earlier"] == []
    (gap,) = [gap for gap in body["gaps"] if "another place" in gap]
    assert body["runs"][0]["id"] in gap


POLICY = """---
apiVersion: batuta.dev/v1
kind: EgressPolicy
metadata: {name: few}
spec: {appliesTo: {datasets: [model]}, allow: [{host: %s}]}
"""


def test_a_run_says_by_which_policies_and_how_its_workers_were_kept(home: Shell) -> None:
    """As it was then: what is in force now, or what this machine gives now, does not matter."""
    found: list[str] = []
    for host in ("one.example.com", "two.example.com"):
        specs = {"model": sovereign("secret/", "model/"), "web": public("download/", "web/")}
        home.write(specs)
        with (home.folder / "batuta.yaml").open("a") as manifest:
            manifest.write(POLICY % host)
        home.table("secret", SECRET.slice(0, 1 + len(found)))
        home.well("apply", "--yes")
        with home.open() as engine:
            found.append(engine.borders.of("model").policies)
    runs = home.audit("model")["runs"]
    assert [run["policies"] for run in runs][1:] == found
    assert len({run["policies"] for run in runs}) == 3
    assert all(run["enforcement"]["level"] for run in runs)
    signature = json.loads((home.folder / "model/_log" / f"{2:020d}.sig").read_bytes())
    said = json.loads(base64.b64decode(signature["payload"]))["predicate"]
    assert (said["policies"], said["run"]) == (found[-1], runs[-1]["id"])
    assert said["egress_head"] == {"n": 0, "digest": "0" * 64}
    assert (said["place"], said["enforcement"]) == ("model/", runs[-1]["enforcement"])

    for path in (home.folder / "model" / "_log").glob("*.sig"):
        path.unlink()
    body = home.audit("model")
    assert [run["policies"] for run in body["runs"]] == [run["policies"] for run in runs]
    assert [run["enforcement"] for run in body["runs"]] == [run["enforcement"] for run in runs]
    assert not any("not recorded" in gap for gap in body["gaps"])


def test_a_run_that_failed_says_how_it_was_kept_too(home: Shell) -> None:
    """What it tried before it failed is in the egress log, so somebody will ask."""
    spec = sovereign("secret/", "broken/") | {"format": "ald"}
    home.write({"broken": spec, "web": public("download/", "web/")})
    home.well("apply", "--yes")
    path = home.folder / "secret" / "rows.parquet"
    pq.write_table(SECRET, path, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[30:60] = bytes(30)
    path.write_bytes(content)
    assert home("apply", "--yes") != 0

    run = home.audit("broken")["runs"][-1]
    assert (run["status"], [step["status"] for step in run["steps"]]) == ("failed", ["failed"])
    assert run["policies"] == home.audit("broken")["runs"][0]["policies"]
    assert run["enforcement"]["level"]
    assert run["steps"][0]["detail"]["codes"]


def test_an_older_run_is_said_to_be_not_anchored(home: Shell) -> None:
    body = home.audit("model")
    assert [run["anchored"] for run in body["runs"]] == [True]
    assert not any("not anchored" in gap for gap in body["gaps"])
    with home.open() as engine, LeaseKeeper(engine.store, "test"):
        runs = engine.store.runs()
        engine.store.write([put_run(replace(run, egress_head=None)) for run in runs])
    body = home.audit("model")
    (gap,) = [gap for gap in body["gaps"] if "not anchored" in gap]
    assert body["runs"][0]["id"] in gap
    assert not any("egress log (" in gap for gap in body["gaps"])


def _refusals(shell: Shell, count: int) -> Path:
    log = AuditLog(shell.folder / ".batuta" / "egress" / "audit.jsonl")
    for number in range(count):
        log.append(Row(event="refused", dataset="Dataset/model", host=f"h{number}.test"))
    log.close()
    return log.path


def test_an_end_of_the_egress_log_that_is_gone_is_a_gap(home: Shell) -> None:
    path = _refusals(home, 3)
    home.table("secret", SECRET.slice(0, 1))
    home.well("apply", "--yes")
    _refusals(home, 2)
    body = home.audit("model")
    assert body["runs"][-1]["egress_head"]["n"] == body["egress_anchor"]["n"] == 3
    assert body["egress_head"]["n"] == 5
    assert not any("egress log" in gap for gap in body["gaps"])

    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    (gap,) = [gap for gap in home.audit("model")["gaps"] if gap.startswith("egress log")]
    assert gap.startswith("egress log (EGR304): Line 3")
    _refusals(home, 4)
    (gap,) = [gap for gap in home.audit("model")["gaps"] if gap.startswith("egress log")]
    assert gap.startswith("egress log (EGR308): Line 3")
    path.unlink()
    gaps = home.audit("model")["gaps"]
    assert any(gap.startswith("egress log (EGR304)") for gap in gaps)
    assert any("no egress log here" in gap for gap in gaps)


def test_without_the_state_the_signature_of_a_version_still_anchors_the_egress_log(
    home: Shell,
) -> None:
    """Whoever cuts the log and takes the state away cannot sign the version anew."""
    path = _refusals(home, 3)
    home.table("secret", SECRET.slice(0, 1))
    home.well("apply", "--yes")
    (home.folder / ".batuta" / "state.db").unlink()
    assert not any("names line" in gap for gap in home.audit("model")["gaps"])
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    (gap,) = [gap for gap in home.audit("model")["gaps"] if "names line" in gap]
    assert gap.startswith("the signature of version 1 names line 3 of an egress log")


def test_a_copy_of_a_copy_is_told_with_what_it_was_made_from(home: Shell) -> None:
    home.well("data", "sync", "mine/", "third/", "--format", "parquet", "--yes")
    home.well("data", "sync", "third/", "fourth/", "--format", "parquet", "--yes")
    copies = {c["resource"].partition("-")[0]: c for c in home.audit("model")["copies"]}

    assert set(copies) == {"Dataset/mine", "Dataset/third", "Dataset/fourth"}
    assert copies["Dataset/mine"]["made_from"] == "Dataset/model"
    assert copies["Dataset/third"]["made_from"] == copies["Dataset/mine"]["resource"]
    assert copies["Dataset/fourth"]["made_from"] == copies["Dataset/third"]["resource"]


def test_a_copy_is_told_with_the_versions_that_it_took_from_each_place(home: Shell) -> None:
    """One dataset, read where it lay first and where it lies now, and through a copy of it."""
    home.write({"model": sovereign("secret/", "now/"), "web": public("download/", "web/")})
    home.table("secret", SECRET.slice(0, 2))
    home.well("apply", "--yes")
    for place in ("model/", "now/", "model/", "mine/"):
        home.well("data", "sync", place, "taken/", "--format", "parquet", "--yes")
    found = [
        (copy["made_from"].partition("-")[0], [v["version"] for v in copy["versions"]])
        for copy in home.audit("model")["copies"]
        if copy["resource"].startswith("Dataset/taken")
    ]
    assert found == [("Dataset/model", [0, 1, 2]), ("Dataset/mine", [3])]


def test_a_copy_of_a_place_that_a_copy_left_is_told(home: Shell) -> None:
    specs = {"model": sovereign("secret/", "model/"), "web": public("download/", "web/")}
    for place in ("first/", "second/"):
        home.write(specs | {"on": sovereign("model/", place)})
        home.well("apply", "--yes")
    home.well("data", "sync", "first/", "third/", "--format", "parquet", "--yes")
    copies = {c["resource"].partition("-")[0]: c for c in home.audit("model")["copies"]}

    assert copies["Dataset/third"]["made_from"] == "Dataset/on"


def test_what_was_copied_on_since_a_time_is_told_though_the_first_copy_is_older(
    home: Shell,
) -> None:
    home.well("data", "sync", "mine/", "third/", "--format", "parquet", "--yes")
    at = home.entry("third", 0)["written_at"]
    (copy,) = home.audit("model", "--since", at)["copies"]

    assert home.entry("mine", 0)["written_at"] < at
    assert copy["resource"].startswith("Dataset/third")


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


def test_what_batuta_asked_while_it_planned_is_not_told_and_that_is_said(home: Shell) -> None:
    log = AuditLog(home.folder / ".batuta" / "egress" / "audit.jsonl")
    (run,) = home.audit("model")["runs"]
    for name in (run["id"], "plan-0a1b2c", "drift-0a1b2c", "look"):
        log.append(Row(event="open", run=name, worker="supervisor", host="store.test"))
    log.close()
    body = home.audit("model")
    assert [row["run"] for row in body["connections"]] == [run["id"]]
    assert any("plan-…, drift-… and look" in sentence for sentence in body["unknown"])


def test_an_audit_is_one_line_of_canonical_json(home: Shell) -> None:
    text = home.well("audit", "model")
    assert text.count("\n") == 1
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) == text.strip()
