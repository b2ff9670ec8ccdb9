"""A key that is lost: nothing is written unsigned where entries have to be signed, and there is a way back."""

from pathlib import Path

import pytest

from tests.acceptance.labels.shell import PUBLIC, Shell, public

ENDORSED = ("label", "approve", "web/", "--to", "PrivateCloud", "--endorse", "--reason", "seen")


@pytest.fixture
def keyless(home: Shell) -> Shell:
    """The workspace after its private key was lost; `web` and `new` have something to do."""
    (home.folder / ".batuta" / "keys" / "signing.pem").rename(home.folder / "kept.pem")
    home.table("files", PUBLIC)
    home.table("download", PUBLIC.slice(1))
    home.write({"web": public("download/", "web/"), "new": public("files/", "new/")})
    return home


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    "command",
    [
        ("apply", "--yes"),
        ("destroy", "web", "--yes"),
        ("data", "sync", "files/", "other/", "--yes"),
        ("data", "merge", "mine/", "model/", "--yes"),
        ("import", "files/", "--yes"),
        ENDORSED,
        ("label", "verify", "web/", "--sign-head"),
        ("audit", "web"),
        ("keys", "rotate"),
    ],
)
def test_without_its_private_key_nothing_that_has_to_be_signed_is_written(
    keyless: Shell, command: tuple[str, ...]
) -> None:
    folders = [keyless.folder / name for name in ("web", "files", "new", "other", "mine")]
    before = [tree(folder) for folder in folders]

    assert keyless(*command) == 1, keyless.said

    assert "KEY106" in keyless.said
    assert "signing.pem" in keyless.said
    assert "`batuta keys generate`" in keyless.said
    assert [tree(folder) for folder in folders] == before


def test_what_reads_and_what_forgets_goes_on_without_the_private_key(keyless: Shell) -> None:
    keyless.well("plan")
    keyless.well("label", "show", "web/")
    keyless.well("label", "verify", "web/")
    keyless.well("data", "verify", "model/")
    keyless.well("release", "web", "--yes")


def test_a_run_with_nothing_to_write_needs_no_private_key(keyless: Shell) -> None:
    keyless.table("download", PUBLIC)
    keyless.write({"web": public("download/", "web/")})
    keyless.well("apply", "--yes")


def test_both_ways_out_of_a_lost_key_lead_on(keyless: Shell) -> None:
    (keyless.folder / "kept.pem").rename(keyless.folder / ".batuta" / "keys" / "signing.pem")
    keyless.well("apply", "--yes", "--select", "new")
    (keyless.folder / ".batuta" / "keys" / "signing.pem").unlink()
    keyless.well("keys", "generate")
    keyless.well("apply", "--yes")
    for name in ("web", "new", "model/"):
        keyless.well("label", "verify", name)


def test_a_key_that_lies_elsewhere_and_is_gone_says_where_it_belongs(home: Shell) -> None:
    keys = home.folder / ".batuta" / "keys"
    (keys / "signing.pem").unlink()
    home.well("keys", "generate", "--at", "file:elsewhere/batuta.pem")
    (home.folder / "elsewhere" / "batuta.pem").unlink()

    assert home(*ENDORSED) == 1

    assert "KEY102" in home.said
    assert "elsewhere/batuta.pem" in home.said.replace(" ", "")  # long paths are broken
    assert "signing.ref" in home.said
    (keys / "signing.ref").unlink()
    home.well("keys", "generate")
    home.well(*ENDORSED)


def test_who_trusts_others_and_has_no_key_is_told_to_make_one(shell: Shell, tmp_path: Path) -> None:
    """What they would write unsigned could never be believed here: entries need a signature now."""
    other = Shell(tmp_path)
    other.write({})
    other.well("keys", "generate")
    shell.table("download", PUBLIC)
    shell.write({"web": public("download/", "web/")})
    shell.well("keys", "trust", str(tmp_path / ".batuta" / "keys" / "trust.json"))

    assert shell("apply", "--yes") == 1

    assert "KEY106" in shell.said
    assert not (shell.folder / "web").exists()
    shell.well("keys", "generate")
    shell.well("apply", "--yes")


def test_a_lost_trust_file_comes_back_from_a_copy_and_every_entry_holds_again(home: Shell) -> None:
    trust = home.folder / ".batuta" / "keys" / "trust.json"
    trust.rename(home.folder / "copy.json")
    assert home("label", "verify", "web/") == 1
    assert "KEY104" in home.said
    assert "`batuta keys trust COPY`" in home.said
    assert home("keys", "rotate") == 1
    home.well("keys", "trust", "copy.json")
    home.well("label", "verify", "web/")


def test_a_file_that_is_no_trust_file_is_refused_wherever_one_is_named(home: Shell) -> None:
    (home.folder / "t.json").write_text('{"bad":1}')
    home.well("audit", "web", "--out", "audit.json")
    for command in (
        ("keys", "trust", "t.json"),
        ("keys", "trust", "audit.json"),
        ("audit", "--verify", "audit.json", "--trust", "audit.json"),
    ):
        assert home(*command) == 1, home.said
        assert "KEY103" in home.said
        assert "Name the trust.json" in home.said
    assert home("audit", "web", "--trust", "missing.json") == 3
    assert "--trust goes with --verify" in home.said
