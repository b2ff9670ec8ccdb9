"""What a refused plan tells people to do is possible, and leads out."""

import json
import shutil

import pytest

from tests.acceptance.labels.shell import PUBLIC, Json, Shell, public, sovereign
from tests.acceptance.laws.bench import document
from tests.conftest import Place
from tests.plain import plain_policy


def stated(tier: str, wanted: str) -> Json:
    """A dataset of one file that carries no label."""
    return {
        "source": {"address": "download/rows.parquet", "origin": {"tier": tier}},
        "destination": "out/", "format": "parquet", "tier": wanted,
    }  # fmt: skip


@pytest.mark.parametrize("attack", ["signature gone", "label edited"])
@pytest.mark.parametrize("tier", ["FullySovereign", "PrivateCloud", None])
def test_a_source_whose_label_does_not_hold_is_named_with_what_checks_it(
    home: Shell, attack: str, tier: str | None
) -> None:
    entry, seal = (
        home.folder / "web" / "_log" / f"{0:020d}.{ending}" for ending in ("json", "sig")
    )
    if attack == "label edited":
        entry.write_bytes(entry.read_bytes().replace(b'"Standard"', b'"PrivateCloud"'))
    else:
        seal.unlink()
    spec: Json = {"source": {"address": "web/"}, "destination": "out/", "format": "parquet"}
    home.write({"new": spec | ({"tier": tier} if tier else {})})

    assert home("plan") == 14

    assert "the label of web/ does not hold" in home.said
    assert "`batuta label verify web/`" in home.said
    assert "approve" not in home.said


@pytest.mark.parametrize(
    ("origin", "tier", "code"),
    [("Standard", "FullySovereign", "SOV106"), ("FullySovereign", "Standard", "SOV105")],
)
def test_nobody_is_told_to_decide_about_data_without_a_log(
    shell: Shell, origin: str, tier: str, code: str
) -> None:
    shell.table("download", PUBLIC)
    shell.write({"new": stated(origin, tier)})
    assert shell("plan") == 14
    assert code in shell.said
    assert "label approve" not in shell.said
    assert "correct its origin" in shell.said
    assert "(`source: {dataset: NAME}`)" in shell.said


def test_data_without_a_log_can_be_endorsed_once_it_is_a_dataset(shell: Shell) -> None:
    """The way that SOV106 names, gone to its end."""
    shell.table("download", PUBLIC)
    first = public("download/rows.parquet", "landing/")
    second: Json = {
        "source": {"dataset": "first"}, "destination": "out/", "format": "parquet",
        "tier": "FullySovereign",
    }  # fmt: skip
    shell.write({"first": first})
    shell.well("apply", "--yes")
    shell.write({"first": first, "second": second})
    assert shell("plan") == 14
    way = "label approve landing/ --to PrivateCloud --endorse --reason"
    assert f"`batuta {way} WHY`" in shell.said
    shell.well(*way.split(), "seen")
    shell.well("apply", "--yes")


def test_a_decision_about_one_file_or_a_plain_folder_says_how_to_get_a_label(shell: Shell) -> None:
    shell.table("download", PUBLIC)
    shell.write({})
    for place in ("download/rows.parquet", "download/"):
        assert shell("label", "approve", place, "--to", "Standard", "--reason", "r") == 14
        assert "LBL101" in shell.said
        assert f"batuta data sync {place} DESTINATION" in shell.said


def test_a_merge_with_a_plain_folder_names_that_folder(home: Shell) -> None:
    home.table("plain", PUBLIC)
    assert home("data", "merge", "mine/", "plain/", "--tier", "FullySovereign", "--yes") == 14
    assert "`batuta data sync plain/ DESTINATION`" in home.said
    assert "PATH" not in home.said


def test_a_label_that_nobody_stated_rests_on_no_statement(home: Shell) -> None:
    home.table("plain", PUBLIC)
    home.well("data", "sync", "plain/", "taken/", "--format", "parquet", "--yes")
    home.well("label", "show", "taken/")
    assert "rests on: no proof: it counts as data from anywhere" in home.said
    home.well("label", "show", "model/")
    assert "rests on: a statement of its owner" in home.said


def test_a_dataset_whose_log_is_gone_was_applied_all_the_same(home: Shell) -> None:
    home.write({"model": sovereign("secret/", "model/")})
    shutil.rmtree(home.folder / "model" / "_log")
    assert home("label", "verify", "model/") == 14
    assert "The state knows version 0 of Dataset/model there" in home.said
    assert "not applied yet" not in home.said


def test_a_dataset_in_a_store_that_is_read_by_its_address_is_to_be_read_as_a_dataset(
    shell: Shell, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision names contents by their SHA-256, which a store does not tell of its objects."""
    server = bucket.server
    monkeypatch.setenv("LAKE_ID", server.access_key)
    monkeypatch.setenv("LAKE_SECRET", server.secret_key)
    lake = {
        "type": "aws", "network": "OnPrem", "region": server.region, "cidrs": ["127.0.0.0/8"],
        "endpoints": [server.endpoint],
        "credentials": {"accessKeyId": "env:LAKE_ID", "secretAccessKey": "env:LAKE_SECRET"},
        "aws": {"endpoint": server.endpoint, "pathStyle": True},
    }  # fmt: skip
    up = sovereign("secret/", f"{bucket.url}/up/")
    up["destination"] = {"address": f"{bucket.url}/up/", "platform": "lake"}
    weak: Json = {"destination": "out/", "format": "parquet", "tier": "PrivateCloud"}
    by_address = weak | {"source": {"address": f"{bucket.url}/up/", "platform": "lake"}}

    def write(**datasets: Json) -> None:
        found = [document("Workspace", "w", {}), document("Platform", "lake", lake)]
        found += [plain_policy(server.endpoint)]
        found += [document("Dataset", name, spec) for name, spec in datasets.items()]
        text = "---\n".join(json.dumps(each) + "\n" for each in found)
        (shell.folder / "batuta.yaml").write_text(text)

    shell.table("secret", PUBLIC)
    write(up=up)
    shell.well("apply", "--yes")
    write(up=up, leak=by_address)
    assert shell("plan") == 14
    assert "SOV105" in shell.said
    assert "label approve" not in shell.said
    assert "(`source: {dataset: NAME}`)" in shell.said

    write(up=up, leak=weak | {"source": {"dataset": "up"}})
    assert shell("plan") == 14
    way = f"label approve {bucket.url}/up/ --to PrivateCloud --reason"
    assert f"`batuta {way} WHY`".replace(" ", "") in shell.said.replace(" ", "")
    shell.well(*way.split(), "published")
    shell.well("apply", "--yes")
