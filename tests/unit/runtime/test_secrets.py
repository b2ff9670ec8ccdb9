"""Secrets: where they may come from, that nothing spills them, and that they are exchanged in time."""

import base64
import copy
import json
import logging
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from batuta.cli.crash import redact
from batuta.model.diagnostic import BatutaError, Location
from batuta.model.resource import Platform
from batuta.runtime import secrets
from batuta.runtime.broker import EARLY_S, Broker
from batuta.runtime.connections import Connections
from batuta.runtime.secret import Secret
from batuta.runtime.secrets import resolve

CANARY = "c4n/ry+with odd=chars'ü"


def why(error: "pytest.ExceptionInfo[BatutaError]") -> str:
    (found,) = error.value.diagnostics
    assert found.code == "SEC101"
    assert CANARY not in str(error.value)
    return found.detail


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    return path


def test_each_kind_of_reference_gives_its_value(secret_file: Path, tmp_path: Path) -> None:
    found = {
        reference: resolve(reference, {"TOKEN": CANARY}, tmp_path).secret.use()
        for reference in (
            "env:TOKEN", "file:token", f"file:{secret_file}", f"command:cat {secret_file}",
        )
    }  # fmt: skip
    assert set(found.values()) == {CANARY}


def _link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


Attack = Callable[[Path], object]
ATTACKS: dict[str, tuple[Attack, str]] = {
    "group can read": (lambda p: p.chmod(0o640), "chmod 600"),
    "others can read": (lambda p: p.chmod(0o604), "chmod 600"),
    "group can write": (lambda p: p.chmod(0o620), "chmod 600"),
    "a link": (_link, "symbolic link"),
    "a pipe": (_pipe, "regular file"),
    "a folder": (_folder, ""),
    "an open folder": (lambda p: p.parent.chmod(0o777), "anybody"),
    "not there": (lambda p: p.unlink(), "No such file"),
    "not text": (lambda p: p.write_bytes(b"\xff\xfe"), "UTF-8"),
    "far too large": (lambda p: p.write_bytes(b"x" * (1 << 21)), "bytes"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_that_somebody_else_could_read_or_exchange_is_refused(
    secret_file: Path, attack: str
) -> None:
    done, reason = ATTACKS[attack]
    done(secret_file)
    with pytest.raises(BatutaError) as error:
        resolve(f"file:{secret_file}", {}, secret_file.parent)
    assert reason in why(error)
    secret_file.parent.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(secret_file: Path) -> None:
    os.chown(secret_file, 12345, 12345)
    with pytest.raises(BatutaError) as error:
        resolve(f"file:{secret_file}", {}, secret_file.parent)
    assert "another user" in why(error)


@pytest.mark.parametrize(
    "reference",
    [
        "env:NOTHING", "command:false", "command:/no/such/program", "command:'", CANARY, "x:y",
        "profile:prod",
    ],
)  # fmt: skip
def test_what_cannot_be_resolved_says_why_and_never_what(reference: str, tmp_path: Path) -> None:
    with pytest.raises(BatutaError) as error:
        resolve(reference, {}, tmp_path)
    assert why(error)


@pytest.mark.parametrize("content", ["", " \n"])
def test_a_secret_that_is_empty_is_refused_before_a_platform_calls_it_wrong(
    secret_file: Path, tmp_path: Path, content: str
) -> None:
    secret_file.write_text(content)
    for reference in (f"file:{secret_file}", f"command:cat {secret_file}"):
        with pytest.raises(BatutaError) as error:
            resolve(reference, {}, tmp_path)
        assert error.value.diagnostics[0].code == "SEC101"
        assert "is empty" in error.value.diagnostics[0].detail


def test_a_command_that_does_not_end_is_said_to_be_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_TIMEOUT_S", 1)
    with pytest.raises(BatutaError) as error:
        resolve("command:sleep 100", {}, tmp_path)
    found = error.value.diagnostics[0]
    assert "has not ended within 1 seconds" in found.detail
    for form in ("env:", "file:", "keyring:", "command:", "profile:"):
        assert form in found.fix


def test_a_literal_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(BatutaError) as error:
        resolve(CANARY, {}, tmp_path)
    assert "(a literal)" in why(error)


SPILLS: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda s: f"{s} {s!r} {s:>40}",
    "in a list": lambda s: str([s]),
    "log": lambda s: logging.LogRecord("n", 10, "p", 1, "%s %r", (s, s), None).getMessage(),
}


@pytest.mark.parametrize("spill", SPILLS)
def test_a_secret_is_not_shown(spill: str) -> None:
    """EG-226: whatever is done with the object, the value is absent."""
    said = SPILLS[spill](Secret(CANARY))
    assert CANARY not in said
    assert str(len(CANARY)) not in said


@pytest.mark.parametrize("spill", [copy.copy, copy.deepcopy, pickle.dumps, json.dumps, len, vars])
def test_a_secret_is_not_stored_sent_copied_or_measured(spill: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        spill(Secret(CANARY))


def test_secrets_are_compared_by_value_and_with_nothing_else() -> None:
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


def test_a_crash_report_is_cleared_of_every_spelling_of_a_live_secret() -> None:
    held = Secret(CANARY)
    pem = Secret("first line of a key\nsecond line of a key")
    raw = CANARY.encode()
    spellings = (
        CANARY, repr(CANARY), quote(CANARY), quote(CANARY, safe=""),
        base64.b64encode(b"user:" + raw).decode(), base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(), "second line of a key",
    )  # fmt: skip
    for text in spellings:
        cleared = redact(f"before {text} after", {})
        assert cleared.startswith("before ")
        assert cleared.endswith(" after")
        assert text not in cleared, text
    for user in (b"a:", b"ab:", b"abc:"):
        basic = base64.b64encode(user + raw + b"more").decode()
        middle = basic[8:-8]
        assert middle not in redact(f"Basic {basic}", {}), user
    assert (held.use(), bool(pem.use())) == (CANARY, True)
    assert redact("nothing secret 12", {}) == "nothing secret 12"


def test_a_short_value_does_not_garble_a_report() -> None:
    held = Secret("on")
    assert redact("one on two", {}) == "one on two"
    assert held.use() == "on"


# -- exchange during a long run ----------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def counting(folder: Path, said: str) -> str:
    """A command that counts how often it is asked, and says `said` with the count in it."""
    script = folder / "broker.sh"
    script.write_text(f'echo x >> {folder}/asked; n=$(wc -l < {folder}/asked); echo "{said}"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return f"command:sh {script}"


def test_a_command_is_asked_once_while_nobody_says_that_it_ends(tmp_path: Path) -> None:
    reference = counting(tmp_path, "token-$n")
    broker = Broker({}, tmp_path, Clock())
    assert [broker.secret(reference).use() for _ in range(3)] == ["token-1"] * 3
    broker.forget()
    assert broker.secret(reference).use() == "token-2"


@pytest.mark.parametrize("name", ["expires_at", "Expiration"])
def test_a_value_that_ends_is_exchanged_before_it_does(tmp_path: Path, name: str) -> None:
    """EG-232: the credential ends half way, and the next request has another one."""
    said = json.dumps({"token": "token-$n", name: "1970-01-12T14:46:40Z"}).replace('"', '\\"')
    reference = counting(tmp_path, said)
    clock = Clock()
    broker = Broker({}, tmp_path, clock)
    ends = 1_003_600.0
    assert broker.secret(reference).use() == "token-1"
    clock.now = ends - EARLY_S - 1
    assert broker.secret(reference).use() == "token-1"
    clock.now = ends - EARLY_S
    assert broker.secret(reference).use() == "token-2"


@pytest.mark.parametrize("said", ['{"other": 1}', '{"token": 5}', '{"token":"t","expires_at":"x"}'])
def test_a_command_that_says_no_value_is_refused(tmp_path: Path, said: str) -> None:
    reference = counting(tmp_path, said.replace('"', '\\"'))
    with pytest.raises(BatutaError):
        Broker({}, tmp_path).secret(reference)


def test_files_and_variables_are_read_anew_each_time(secret_file: Path) -> None:
    environment = {"TOKEN": "one"}
    broker = Broker(environment, secret_file.parent)
    assert broker.secret("file:token").use() == CANARY
    secret_file.write_text("rotated")
    assert broker.secret("file:token").use() == "rotated"


def test_a_credential_that_cannot_be_had_is_shown_where_it_is_written(tmp_path: Path) -> None:
    from batuta.model.address import parse_address

    head, written = Location("a.yaml", 1, 1), Location("a.yaml", 9, 40)
    lake = Platform(
        name="lake", type="aws", credentials=(("accessKeyId", "env:NOT_SET"),),
        places={"": head, "spec.credentials.accessKeyId": written},
    )  # fmt: skip
    with pytest.raises(BatutaError) as caught:
        Connections({"lake": lake}, {}, tmp_path).access(parse_address("s3://b/x/"), "lake")

    assert caught.value.diagnostics[0].code == "SEC101"
    assert caught.value.diagnostics[0].locations == (written,)


def test_access_to_a_platform_shows_no_secret_and_has_the_current_one(tmp_path: Path) -> None:
    from batuta.model.address import parse_address

    reference = counting(tmp_path, f"{CANARY[:6]}-$n")
    lake = Platform(name="lake", type="aws", credentials=(("secretAccessKey", reference),))
    connections = Connections({"lake": lake}, {}, tmp_path)
    address = parse_address("s3://bucket/x/")
    first, _ = connections.access(address, "lake")
    connections.broker.forget((reference,))
    second, _ = connections.access(address, "lake")

    values = [access.secrets["secretAccessKey"] for access in (first, second)]
    assert values[0].endswith("-1")
    assert values[1].endswith("-2")
    for access in (first, second):
        assert not any(value in repr(access) for value in values)
    assert not any(value in repr(connections) for value in values)


def test_a_profile_gives_its_keys_and_its_name_is_never_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batuta.model.address import parse_address

    (tmp_path / "credentials").write_text(
        f"[p9]\naws_access_key_id = ID9\naws_secret_access_key = {CANARY}\n"
        "aws_session_token = TOKEN9\n"
    )
    (tmp_path / "config").write_text("[profile p9]\nregion = eu-9\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    named = (("accessKeyId", "profile:p9"), ("secretAccessKey", "profile:p9"))
    lake = Platform(name="lake", type="aws", credentials=named)
    connections = Connections({"lake": lake}, {}, tmp_path)
    address = parse_address("s3://bucket/x/")
    access, _ = connections.access(address, "lake")

    assert access.secrets == {
        "accessKeyId": "ID9", "secretAccessKey": CANARY, "sessionToken": "TOKEN9",
    }  # fmt: skip
    assert access.options == {"profile": "p9", "region": "eu-9"}
    own = connections.own(address, "lake")
    assert (own.secrets, own.options) == ({}, {"profile": "p9"})


def test_a_profile_beside_another_reference_is_refused(tmp_path: Path) -> None:
    from batuta.model.address import parse_address

    mixed = (("accessKeyId", "profile:p9"), ("secretAccessKey", "env:KEY"))
    lake = Platform(name="lake", type="aws", credentials=mixed)
    with pytest.raises(BatutaError) as error:
        Connections({"lake": lake}, {"KEY": CANARY}, tmp_path).access(
            parse_address("s3://bucket/x/"), "lake"
        )
    assert "`profile:p9`" in why(error)
