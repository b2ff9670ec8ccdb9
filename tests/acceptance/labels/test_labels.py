"""Labels at rest and decisions about them, and the attempts to get rid of either."""

import json
import shutil
import sqlite3
from dataclasses import replace

import pytest

from batuta.model.diagnostic import StalePlan
from batuta.runtime.approvals import Grant, refuse_expired, refuse_spent
from batuta.runtime.planning import PlanRequest
from tests.acceptance.labels.shell import PUBLIC, SECRET, Shell, public, sovereign


def weak(source: object, destination: str = "out/") -> dict[str, object]:
    """A dataset that would take the data to the least sovereign tier."""
    return {
        "source": source, "destination": destination, "format": "parquet", "tier": "Standard",
    }  # fmt: skip


def refused(shell: Shell, code: str = "SOV105") -> None:
    assert shell("apply", "--yes", "--select", "leak") == 14, shell.said
    assert code in shell.said
    assert not (shell.folder / "out").exists()


def declared(shell: Shell, spec: dict[str, object]) -> None:
    """The workspace's own datasets, and one more."""
    shell.write(
        {"model": sovereign("secret/", "model/"), "web": public("download/", "web/"), "leak": spec}
    )


# -- attempts to lose a label ------------------------------------------------------------------


def test_its_own_output_brought_in_again_keeps_its_label(home: Shell) -> None:
    declared(home, weak("model/"))
    refused(home)


def test_its_own_output_copied_byte_for_byte_keeps_its_label(home: Shell) -> None:
    home.well("data", "sync", "model/", "copy/", "--format", "files", "--yes")

    assert home.entry("copy/", 0)["label"] == home.entry("model/", 0)["label"]
    assert not [p for p in (home.folder / "copy").rglob("*.parquet") if "_log" in p.parts]


def test_a_single_file_below_a_log_has_the_label_of_the_log(home: Shell) -> None:
    (part,) = (home.folder / "model").glob("part-*.parquet")
    declared(home, weak(f"model/{part.name}"))
    refused(home)


@pytest.mark.parametrize("renamed", [False, True])
def test_a_copy_elsewhere_keeps_its_label_by_its_digest(home: Shell, renamed: bool) -> None:
    """EG-194: the content is known, whatever it is called and wherever it lies."""
    (part,) = (home.folder / "model").glob("part-*.parquet")
    (home.folder / "copy").mkdir()
    shutil.copy(part, home.folder / "copy" / ("harmless.parquet" if renamed else part.name))
    declared(home, weak({"address": "copy/", "origin": {"tier": "Standard"}}))
    refused(home)


def lost(shell: Shell) -> None:
    """The state is gone."""
    for path in (shell.folder / ".batuta").glob("state.db*"):
        path.unlink()


def copied(shell: Shell) -> None:
    """What is secret lies in another folder, whose owner says that it is not."""
    (part,) = (shell.folder / "model").glob("part-*.parquet")
    (shell.folder / "copy").mkdir()
    shutil.copy(part, shell.folder / "copy" / "harmless.parquet")
    declared(shell, weak({"address": "copy/", "origin": {"tier": "Standard"}}))


def test_a_state_that_an_apply_made_anew_knows_a_copy_by_its_digest(home: Shell) -> None:
    lost(home)
    home.well("apply", "--yes")
    copied(home)
    refused(home)


@pytest.mark.parametrize("applied", [False, True])
def test_a_state_that_was_rebuilt_knows_a_copy_by_its_digest(home: Shell, applied: bool) -> None:
    """Also one whose records are there and whose labels are not, as an older batuta left it."""
    lost(home)
    if applied:
        home.well("apply", "--yes")
        with sqlite3.connect(home.folder / ".batuta" / "state.db") as database:
            database.execute("DELETE FROM labels")
        database.close()
    home.well("state", "rebuild", "--yes")
    assert "labels of 2 files" in home.said or not applied
    home.well("state", "rebuild")
    assert "labels of" not in home.said, "there is nothing left to do"
    copied(home)
    refused(home)


def test_without_its_log_data_keeps_the_label_that_the_state_remembers(home: Shell) -> None:
    """EG-191: deleting the log launders nothing."""
    shutil.rmtree(home.folder / "model" / "_log")
    home.write({"leak": weak({"address": "model/", "origin": {"tier": "Standard"}})})
    refused(home)


@pytest.mark.parametrize("attack", ["signature edited", "signature gone", "label edited"])
def test_a_log_that_cannot_be_believed_makes_its_data_go_nowhere(home: Shell, attack: str) -> None:
    folder = home.folder / "web" / "_log"
    entry, seal = (folder / f"{0:020d}.{ending}" for ending in ("json", "sig"))
    match attack:
        case "signature edited":
            seal.write_bytes(seal.read_bytes().replace(b"sig", b"gis", 1))
        case "signature gone":
            seal.unlink()
        case _:
            entry.write_bytes(entry.read_bytes().replace(b'"Standard"', b'"PrivateCloud"'))
    spec = weak({"address": "web/"}) | {"tier": "PrivateCloud"}
    home.write({"leak": spec})

    refused(home, "SOV105")
    assert home("label", "show", "web/") == 14
    assert "does NOT hold" in home.out
    assert "taken in by:     no place" in home.out
    assert home("label", "verify", "web/") != 0


def test_a_head_rolled_back_with_its_signature_is_found_by_an_audit_made_before(
    home: Shell,
) -> None:
    home.well("label", "approve", "web/", "--to", "PrivateCloud", "--endorse", "--reason", "r")
    home.well("audit", "web", "--out", "kept.json")
    home.well("label", "verify", "web/", "--against", "kept.json")
    for ending in ("json", "sig"):
        (home.folder / "web" / "_log" / f"{1:020d}.{ending}").unlink()
    shutil.rmtree(home.folder / ".batuta" / "state.db", ignore_errors=True)
    (home.folder / ".batuta" / "state.db").unlink()

    home.well("label", "verify", "web/")
    assert home("label", "verify", "web/", "--against", "kept.json") != 0
    assert "LOG131" in home.said


def test_the_note_about_entries_older_than_the_key_ends_with_the_command_that_it_names(
    shell: Shell,
) -> None:
    shell.table("download", PUBLIC)
    shell.write({})
    shell.well("data", "sync", "download/", "web/", "--format", "parquet", "--yes")
    shell.well("keys", "generate")
    shell.well("label", "verify", "web/")
    assert "note[LOG133]" in shell.said
    assert "`batuta label verify web/ --sign-head`" in shell.said
    assert "PATH" not in shell.said
    shell.well("label", "verify", "web/", "--sign-head")
    shell.well("label", "verify", "web/")
    assert "LOG133" not in shell.said


def test_a_lost_signature_can_be_made_anew_but_not_for_an_entry_that_nobody_knows(
    home: Shell,
) -> None:
    seal = home.folder / "model" / "_log" / f"{0:020d}.sig"
    seal.unlink()
    assert home("label", "verify", "model") != 0
    assert "LOG133" in home.said
    assert "1 of 1 entries are signed" in home.well("label", "verify", "model", "--sign-head")

    seal.unlink()
    home.well("state", "rm", "Dataset/model", "--yes")
    assert home("label", "verify", "model", "--sign-head") == 14
    assert "LBL104" in home.said
    assert not seal.exists()


# -- decisions ---------------------------------------------------------------------------------

ENDORSE = ("label", "approve", "web", "--to", "PrivateCloud", "--endorse", "--reason", "reviewed")


def bring_home(shell: Shell, *names: str) -> None:
    """Datasets of the most sovereign tier that read the public one."""
    homes = {
        name: {
            "source": {"dataset": "web"}, "destination": f"{name}/", "format": "parquet",
            "tier": "FullySovereign",
        }
        for name in names
    }  # fmt: skip
    shell.write({"web": public("download/", "web/"), **homes})


def test_public_data_comes_home_only_after_it_was_endorsed(home: Shell) -> None:
    bring_home(home, "in")
    assert home("apply", "--yes", "--select", "in") == 14
    assert "SOV106" in home.said
    assert "batuta label approve" in home.said
    home.well(*ENDORSE)
    home.well("apply", "--yes")

    label = home.entry("in", 0)["label"]
    assert (label["confidentiality"], label["integrity"]) == ("Standard", "PrivateCloud")
    assert "No changes" in home.well("plan")
    record = json.loads(home.entry("in", 0)["decisions"][0][1])
    assert record["payloadType"] == "application/vnd.batuta.approval+json", "it is signed"


def test_a_decision_is_used_once(home: Shell) -> None:
    bring_home(home, "in", "too")
    home.well(*ENDORSE)

    assert home("apply", "--yes") == 8, "one of the two has to wait"
    assert "SOV106" in home.said
    assert (home.folder / "in").exists()
    assert not (home.folder / "too").exists()
    home.well(*ENDORSE)
    home.well("apply", "--yes")
    assert "No changes" in home.well("plan")


def test_a_decision_that_an_earlier_run_used_is_used_up(home: Shell) -> None:
    bring_home(home, "in", "too")
    home.well(*ENDORSE)
    home.well("apply", "--yes", "--select", "in")

    assert home("apply", "--yes", "--select", "too") == 14
    assert not (home.folder / "too").exists()


def test_a_decision_stays_used_up_where_the_state_was_made_anew(home: Shell) -> None:
    bring_home(home, "in", "too")
    home.well(*ENDORSE)
    home.well("apply", "--yes", "--select", "in")
    lost(home)
    home.well("apply", "--yes", "--select", "in")

    assert home("apply", "--yes", "--select", "too") == 14
    assert not (home.folder / "too").exists()


def test_of_two_saved_plans_that_rest_on_one_decision_the_second_is_refused(home: Shell) -> None:
    bring_home(home, "in", "too")
    home.well(*ENDORSE)
    home("plan", "--select", "in", "--out", "in.plan")
    home("plan", "--select", "too", "--out", "too.plan")
    home.well("apply", "in.plan")

    assert home("apply", "too.plan") != 0
    assert "LBL107" in home.said
    assert "Dataset/in" in home.said
    assert not (home.folder / "too").exists()


def test_a_plan_that_uses_one_decision_twice_is_refused(home: Shell) -> None:
    """As an older batuta made them."""
    bring_home(home, "in", "too")
    home.well(*ENDORSE)
    with home.open() as engine:
        one, other = (
            engine.plan(PlanRequest(select=(name,)), lambda _event: None).plan
            for name in ("in", "too")
        )
    with pytest.raises(StalePlan) as stale:
        refuse_spent(replace(one, actions=(*one.actions, *other.actions)), {}, {})

    assert [d.code for d in stale.value.diagnostics] == ["LBL107"]


def test_a_folder_that_is_misspelt_is_answered_with_the_nearest(home: Shell) -> None:
    assert home("label", "show", "./mime/") == 14
    assert "Write `mine/`" in home.said
    assert home("label", "show", "modl") == 14
    assert "Write `model`" in home.said
    # What is there and has no log was not misspelt.
    home.table("mime", PUBLIC)
    assert home("label", "show", "mime/") == 14
    assert "batuta data sync mime/ DESTINATION" in home.said


def test_the_same_decision_twice_is_recorded_once(home: Shell) -> None:
    home.well(*ENDORSE)
    first = home.entry("web", 1)
    said = " ".join(home.well(*ENDORSE).split())

    assert f"Already decided at {first['written_at']}" in said
    assert "nothing was recorded" in said
    assert not (home.folder / "web" / f"_log/{2:020d}.json").exists()
    # Other rows are another matter.
    home.table("download", SECRET.slice(0, 1))
    home.well("apply", "--yes", "--select", "web")
    assert "Recorded the decision" in home.well(*ENDORSE)


def test_a_decision_is_about_these_rows_and_no_others(home: Shell) -> None:
    bring_home(home, "in")
    home.well(*ENDORSE)
    home.table("download", SECRET.slice(0, 1))
    home.well("apply", "--yes", "--select", "web")

    assert home("apply", "--yes", "--select", "in") == 14
    assert not (home.folder / "in").exists()


def test_a_decision_that_holds_goes_on_to_hold_after_other_changes(home: Shell) -> None:
    bring_home(home, "in")
    home.well(*ENDORSE)
    home.well("apply", "--yes")
    text = (home.folder / "batuta.yaml").read_text()
    protected = text.replace('"destination": "in/"', '"destination": "in/", "protect": true')
    (home.folder / "batuta.yaml").write_text(protected)
    home.well("apply", "--yes")

    assert home.entry("in", 1)["action"] == "relabel"
    assert home.entry("in", 1)["decisions"] == home.entry("in", 0)["decisions"]
    assert "No changes" in home.well("plan")
    (home.folder / ".batuta" / "state.db").unlink()
    home.well("apply", "--yes")
    assert "No changes" in home.well("plan")


def test_a_decision_that_nobody_with_the_key_made_counts_for_nothing(home: Shell) -> None:
    """Whoever can write into the folder can write a decision, and not sign it."""
    bring_home(home, "in")
    home.well(*ENDORSE)
    log = home.folder / "web" / "_log"
    shutil.rmtree(home.folder / ".batuta" / "keys")
    home.well("keys", "generate")
    for seal in log.glob("*.sig"):
        seal.unlink()  # the entries are older than the new key

    assert home("apply", "--yes", "--select", "in") == 14
    assert not (home.folder / "in").exists()


def test_an_expired_decision_is_not_planned_with(home: Shell) -> None:
    bring_home(home, "in")
    grant = Grant(kind="endorse", tier="PrivateCloud", reason="r", actor="maria", days=0)
    with home.open() as engine:
        engine.approve("web", grant)

    assert home("apply", "--yes", "--select", "in") == 14
    assert not (home.folder / "in").exists()
    assert "expired" in home.well("label", "show", "web")


def test_a_saved_plan_is_refused_once_a_decision_that_it_rests_on_has_expired(
    home: Shell,
) -> None:
    bring_home(home, "in")
    home.well(*ENDORSE, "--days", "1")
    with home.open() as engine:
        plan = engine.plan(PlanRequest(select=("in",)), lambda _event: None).plan
        refuse_expired(plan, {}, "2026-01-01T00:00:00.000Z")
        with pytest.raises(StalePlan) as stale:
            refuse_expired(plan, {}, "2999-01-01T00:00:00.000Z")

    assert [d.code for d in stale.value.diagnostics] == ["LBL103"]


def test_declassified_data_may_go_down_and_the_plan_says_so(home: Shell) -> None:
    declared(home, weak({"dataset": "model"}))
    refused(home)
    home.well("label", "approve", "model", "--to", "Standard", "--reason", "published")
    home.well("apply", "--yes")

    assert home.entry("out", 0)["label"]["confidentiality"] == "Standard"
    assert home.entry("model", 1)["label"]["confidentiality"] == "FullySovereign"


@pytest.mark.parametrize(
    ("path", "to", "flags"),
    [
        ("web", "FullySovereign", []),
        ("web", "Standard", []),
        ("model", "PrivateCloud", ["--endorse"]),
        ("model", "FullySovereign", ["--endorse"]),
    ],
)
def test_a_decision_that_would_change_nothing_is_refused(
    home: Shell, path: str, to: str, flags: list[str]
) -> None:
    assert home("label", "approve", path, "--to", to, "--reason", "r", *flags) == 14
    assert "LBL102" in home.err


def test_a_decision_needs_a_reason_and_a_log(home: Shell) -> None:
    assert home("label", "approve", "web", "--to", "PrivateCloud", "--endorse") == 3
    assert home(*ENDORSE[:-1], "  ") == 3
    assert home("label", "approve", "download/", *ENDORSE[3:]) == 14
    assert "LBL101" in home.err


def test_the_history_tells_who_decided_what_and_who_signed(home: Shell) -> None:
    home.well(*ENDORSE)
    history = home.well("label", "history", "web")

    assert "approve" in history
    assert "(Standard, Standard)" in history
    assert "maria" in history
    assert "reviewed" in history


# -- keys --------------------------------------------------------------------------------------


def test_a_rotation_leaves_all_that_was_signed_valid_and_signs_on(home: Shell) -> None:
    home.well("keys", "rotate")
    home.well(*ENDORSE)
    assert "2 of 2 entries are signed" in home.well("label", "verify", "web")
    assert home.well("keys", "show").count("Z") == 3, "two begin and one has ended"


def test_a_workspace_without_a_key_works_and_says_that_nothing_is_checked(shell: Shell) -> None:
    shell.table("download", PUBLIC)
    shell.write({"web": public("download/", "web/")})
    shell.well("apply", "--yes")
    assert not list((shell.folder / "web" / "_log").glob("*.sig"))
    assert "no key is trusted here" in shell.well("label", "show", "web")
    shell.well("label", "verify", "web")
    shell.well(*ENDORSE)
    assert "not signed by a trusted key" in shell.well("label", "show", "web")

    # From now on all is signed; what was there before is counted, and stays as it is.
    shell.well("keys", "generate")
    shell.table("download", PUBLIC.slice(0, 1))
    shell.well("apply", "--yes")
    assert "1 of 3 entries are signed" in shell.well("label", "verify", "web")
