"""`data merge`: the rows, the label, and the specification's question about a conflict."""

import shlex
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tests.acceptance.labels.shell import PUBLIC, SECRET, Shell, public
from tests.acceptance.laws.bench import multiset

ROOT = Path(__file__).parents[3]
OTHER = pa.table({"id": pa.array([7, 8, 9], pa.int64()), "name": ["p", "q", "r"]})
BOTH = multiset(pa.concat_tables([SECRET, PUBLIC]))


def labels(shell: Shell, where: str, version: int) -> tuple[str, str]:
    label = shell.entry(where, version)["label"]
    return label["confidentiality"], label["integrity"]


def test_a_merge_without_a_conflict_adds_the_rows_and_done_again_does_nothing(
    home: Shell,
) -> None:
    home.table("more", PUBLIC)
    home.well("data", "sync", "web/", "target/", "--format", "parquet", "--yes")
    home.well("data", "merge", "target/", "more/", "--yes")
    assert multiset(home.rows("target/")) == multiset(pa.concat_tables([PUBLIC, PUBLIC]))

    assert "No changes" in home.well("data", "merge", "target/", "more/", "--yes")
    assert multiset(home.rows("target/")) == multiset(pa.concat_tables([PUBLIC, PUBLIC]))
    assert home.entry("target", 1)["facts"]["source"].startswith('merge {"sources":')

    # A source with other rows is merged into what is there now.
    home.table("more", OTHER)
    home.well("data", "merge", "target/", "more/", "--yes")
    assert len(home.rows("target/")) == 7
    home.well("label", "verify", "target/")


@pytest.mark.parametrize(
    ("conflict", "three"), [("First", "c"), ("Last", "x")], ids=["First", "Last"]
)
def test_a_merge_by_key_keeps_one_row_for_each_key(shell: Shell, conflict: str, three: str) -> None:
    shell.table("a", SECRET)
    shell.table("b", PUBLIC)
    shell.well("data", "sync", "a/", "target/", "--format", "parquet", "--yes")
    shell.well("data", "merge", "target/", "b/", "--on", "id", "--conflict", conflict, "--yes")

    rows = {row["id"]: row["name"] for row in shell.rows("target/").to_pylist()}
    assert rows == {1: "a", 2: "b", 3: three, 4: "y"}


def test_two_rows_of_one_key_fail_where_nobody_said_which_holds(shell: Shell) -> None:
    shell.table("a", SECRET)
    shell.table("b", PUBLIC)
    shell.well("data", "sync", "a/", "target/", "--format", "parquet", "--yes")

    assert shell("data", "merge", "target/", "b/", "--on", "id", "--yes") == 1
    assert "WRK215" in shell.said
    assert "`--conflict First`" in shell.said
    assert "`conflict: First`" not in shell.said
    assert len(shell.rows("target/")) == 3


def test_a_merge_stays_as_it_was_where_it_says_nothing(shell: Shell) -> None:
    shell.table("a", SECRET)
    shell.well("data", "sync", "a/", "target/", "--format", "parquet", "--yes")
    shell.well("data", "merge", "target/", "a/", "--print-manifest")

    assert "format: parquet" in shell.out
    assert 'version: "0"' in shell.out


def test_what_a_manifest_describes_is_not_merged_behind_its_back(home: Shell) -> None:
    home.table("more", OTHER)
    assert home("data", "merge", "model/", "more/", "--on", "id", "--yes") == 3
    assert "DAT102" in home.err
    rows = [row.strip() for row in home.err.splitlines() if row.strip().startswith("batuta ")]
    assert rows == [
        "batuta data sync model/ model-merged/ --format parquet",
        "batuta data merge model-merged/ more/ --on id",
    ]
    home.well(*rows[0].split()[1:], "--yes")
    code = home(*rows[1].split()[1:], "--yes")

    assert "PLN102" not in home.said
    assert code in (0, 14), home.said  # what its labels allow is another matter


def test_a_folder_copied_with_its_log_is_not_unhooked_from_its_original(home: Shell) -> None:
    shutil.copytree(home.folder / "mine", home.folder / "copied")
    home.table("more", OTHER)

    for words in (("merge", "copied/", "more/"), ("sync", "secret/", "copied/")):
        assert home("data", *words, "--yes") != 0
        assert "PLN102" in home.said
        assert "`batuta data sync copied/ copied-own/`" in home.said
        assert "release" not in home.said
        assert "state mv" not in home.said
    home.well("data", "sync", "copied/", "copied-own/", "--yes")
    home("data", "merge", "copied-own/", "more/", "--yes")
    assert "PLN102" not in home.said


def test_nobody_is_asked_where_nobody_is_there_and_nothing_happens(home: Shell) -> None:
    assert home("data", "merge", "mine/", "web/", "--yes") == 14
    assert "LBL106" in home.said
    fix = home.out.partition("fix: ")[2].splitlines()
    ways = [row.strip() for row in fix if row.rstrip().endswith((":", "better."))]
    assert [row[:3] == "Or " for row in ways] == [False, *(True for _ in ways[1:])], ways
    assert len(ways) > 1
    assert "batuta label approve web/ --to PrivateCloud --endorse --reason REASON" in home.said
    assert "batuta label approve mine/ --to Standard --reason REASON" in home.said
    assert multiset(home.rows("mine/")) == multiset(SECRET)


def ways_out(shell: Shell, *merge: str) -> list[list[list[str]]]:
    """The sets of commands that a refused merge names, each in the order of its lines."""
    assert shell("data", "merge", *merge, "--yes") == 14
    fix = shell.out.partition("LBL106")[2].partition("fix: ")[2].partition("error[")[0]
    sets: list[list[list[str]]] = [[]]
    for row in fix.splitlines():
        if row.strip().startswith("batuta "):
            sets[-1].append(shlex.split(row)[1:])
        elif sets[-1]:
            sets.append([])
    return [each for each in sets if each]


@pytest.mark.parametrize("source", ["web/", "copy/", "download/"])
def test_each_set_of_commands_that_a_refused_merge_names_resolves_it(
    home: Shell, source: str
) -> None:
    home.well("data", "sync", "download/", "copy/", "--format", "parquet", "--yes")
    offered = ways_out(home, "mine/", source)
    assert len(offered) == (1 if source == "download/" else 2), "nothing is decided without a log"
    before = home.folder.with_name("before")
    shutil.copytree(home.folder, before)
    for commands in offered:
        shutil.rmtree(home.folder)
        shutil.copytree(before, home.folder)
        for words in commands:
            home.well(*words, *(["--yes"] if words[0] == "data" else []))
        assert multiset(home.rows("mine/")) == BOTH, commands


def test_what_was_decided_and_is_not_enough_is_said(home: Shell) -> None:
    home.well("data", "sync", "download/", "copy/", "--format", "parquet", "--yes")
    first, *_ = ways_out(home, "mine/", "copy/")
    home.well(*first[0])
    assert home("data", "merge", "mine/", "copy/", "--yes") == 14
    assert "declassify mine/ to Standard; it waits to be used and is not enough" in home.said
    assert "approve mine/" not in home.said


def test_the_question_is_the_specifications_and_quitting_changes_nothing(home: Shell) -> None:
    assert home("data", "merge", "mine/", "web/", answers=["what?", "q"]) == 14
    assert "Sovereignty Conflict!" in home.err
    assert "`W` is not offered. Type one of D, R, E, Q." in home.err
    assert "Target: mine/ (tier: FullySovereign)" in home.err
    assert "Source: web/ (tier: Standard)" in home.err
    for letter in "DREQ":
        assert f"[{letter}]" in home.err
    assert multiset(home.rows("mine/")) == multiset(SECRET)
    assert len(list((home.folder / "web" / "_log").glob("*.json"))) == 1


def test_the_question_says_of_each_side_what_is_true_of_it(home: Shell) -> None:
    """Two copies of the same kind, and a place that asks for more than both of them have."""
    home.table("b", OTHER)
    for name in ("download/", "b/"):
        home.well("data", "sync", name, f"of-{name}", "--format", "parquet", "--yes")
    tier = ("--tier", "FullySovereign")
    assert home("data", "merge", "of-download/", "of-b/", *tier, answers=["q"]) == 14
    home.well("label", "show", "of-b/")
    recorded = home.said.partition("tier: ")[2].split()[0]
    home("data", "merge", "of-download/", "of-b/", *tier, answers=["q"])
    assert f"Source: of-b/ (tier: {recorded})" in home.said
    assert "more confidential" not in home.said
    assert (
        "The tier FullySovereign takes in data of the integrity PrivateCloud or better" in home.said
    )
    assert "of-b/" in home.said.partition("better; that of ")[2].partition("is lower")[0]


def test_the_page_about_labels_shows_the_question_as_it_is_asked(home: Shell) -> None:
    page = (ROOT / "docs" / "how-to" / "labels.md").read_text(encoding="utf-8")
    shown = page.partition("```text\n")[2].partition("```")[0].replace("model/", "mine/")
    assert home("data", "merge", "mine/", "web/", answers=["q"]) == 14
    assert shown in home.err


@pytest.mark.parametrize("source", ["web/", "download/"])
def test_a_source_has_one_label_whether_somebody_is_asked_or_nobody_is_there(
    home: Shell, source: str
) -> None:
    """A folder of files that no manifest and no log speaks of is as confidential as the target."""
    wanted = "(FullySovereign, Standard)" if source == "download/" else "(Standard, Standard)"
    assert home("data", "merge", "mine/", source, "--yes") == 14
    assert f"{source} is {wanted}" in home.said
    assert home("data", "merge", "mine/", source, answers=["q"]) == 14
    assert f"Source: {source} (tier: Standard), label {wanted}" in home.said


def test_a_raw_folder_comes_down_with_the_target_that_somebody_declassifies(home: Shell) -> None:
    home.well("data", "merge", "mine/", "download/", "--yes", answers=["d", "published", "y"])
    assert "[E]" not in home.err, "there is no log to record an endorsement in"
    assert multiset(home.rows("mine/")) == BOTH
    assert labels(home, "mine", 2) == ("Standard", "Standard")


def test_re_sourcing_says_what_is_needed(home: Shell) -> None:
    assert home("data", "merge", "mine/", "web/", answers=["r"]) == 14
    assert "Take web/ from an origin of PrivateCloud or better" in home.err


def test_endorsing_the_source_is_recorded_and_the_target_stays_sovereign(home: Shell) -> None:
    home.well("data", "merge", "mine/", "web/", answers=["e", "Reviewed, TICKET-7"])

    assert multiset(home.rows("mine/")) == BOTH
    assert labels(home, "mine", 1) == ("FullySovereign", "PrivateCloud")
    assert home.entry("mine", 1)["facts"]["tier"] == "FullySovereign"
    assert labels(home, "web", 1) == ("Standard", "Standard"), "data at rest keeps its label"
    ((kind, text),) = home.entry("web", 1)["decisions"]
    assert kind == "approval"
    assert ["approval-used", text] in home.entry("mine", 1)["decisions"]
    shown = home.well("label", "show", "web/")
    assert "by maria" in shown
    assert "Reviewed, TICKET-7" in shown
    assert "used by Dataset/mine-" in shown
    assert "No changes" in home.well("data", "merge", "mine/", "web/", "--yes")


def test_declassifying_the_target_takes_it_to_the_tier_that_was_named(home: Shell) -> None:
    home.well("data", "merge", "mine/", "web/", answers=["d", "It was published on 3 March"])

    assert multiset(home.rows("mine/")) == BOTH
    assert labels(home, "mine", 2) == ("Standard", "Standard")
    assert home.entry("mine", 2)["facts"]["tier"] == "Standard"
    assert "would be lowered" in home.said


def test_without_a_reason_nothing_is_decided(home: Shell) -> None:
    assert home("data", "merge", "mine/", "web/", answers=["d", "  "]) == 14
    assert len(list((home.folder / "mine" / "_log").glob("*.json"))) == 1


def test_the_label_of_a_merge_sticks_to_whatever_is_taken_out_of_it(home: Shell) -> None:
    """EG-188: the foreign half, selected back out, is as secret as the whole."""
    home.well("data", "merge", "mine/", "web/", answers=["e", "reviewed"])
    spec = public("", "out/") | {
        "source": {"address": "mine/", "columns": {"include": ["name"]}},
    }
    home.write({"half": spec})

    assert home("apply", "--yes", "--select", "half") == 14
    assert "SOV105" in home.said
    assert not (home.folder / "out").exists()


def test_a_declared_merge_waits_for_what_it_reads_and_then_rests(home: Shell) -> None:
    home.table("more", PUBLIC)
    spec = public("", "all/") | {
        "source": {
            "merge": [{"dataset": "web"}, {"address": "more/", "origin": {"tier": "Standard"}}]
        }
    }
    home.write({"web": public("download/", "web/"), "all": spec})
    home.well("apply", "--yes")

    assert multiset(home.rows("all")) == multiset(pa.concat_tables([PUBLIC, PUBLIC]))
    assert "No changes" in home.well("plan")
    parts = [part["path"] for part in home.entry("all", 0)["added"]]
    home.table("more", OTHER)
    home.well("apply", "--yes")
    assert multiset(home.rows("all")) == multiset(pa.concat_tables([PUBLIC, OTHER]))
    assert home.entry("all", 1)["removed"] == parts[1:], "the part of `web` stays as it is"
    assert "No changes" in home.well("plan")
