"""Keys: who may read them, what a rotation leaves, and signatures that hold or do not."""

import base64
import copy
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from batuta.model.diagnostic import BatutaError
from batuta.runtime.dsse import STATEMENT, NotSigned, encoding, open_envelope, seal, statement
from batuta.runtime.keys import KeyRing
from batuta.runtime.trust import Trust, key_id, read_trust, trust_bytes

EARLY, LATER, LATEST = (f"2026-0{n}-01T00:00:00.000Z" for n in (1, 2, 3))


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys", tmp_path)


def code(error: "pytest.ExceptionInfo[BatutaError]") -> str:
    return error.value.diagnostics[0].code


def test_without_a_key_nothing_is_signed_and_nobody_trusted(ring: KeyRing) -> None:
    assert ring.signing() is None
    assert ring.trust() == Trust()


def test_a_new_key_is_its_owners_alone_and_signs_what_the_trust_file_checks(ring: KeyRing) -> None:
    made = ring.generate(EARLY, "of the test")
    key = ring.signing()
    assert key is not None
    assert key.id == made.id == key_id(base64.b64decode(made.public))
    assert (ring.folder / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert (ring.folder / "trust.json").stat().st_mode & 0o777 == 0o644

    trust = ring.trust()

    assert trust.since == EARLY
    assert trust.check(key.id, b"content", key.sign(b"content"))
    assert not trust.check(key.id, b"other", key.sign(b"content"))
    assert not trust.check("0" * 32, b"content", key.sign(b"content"))


def test_a_key_is_never_written_over(ring: KeyRing) -> None:
    ring.generate(EARLY)
    before = (ring.folder / "signing.pem").read_bytes()
    with pytest.raises(BatutaError) as error:
        ring.generate(LATER)

    assert code(error) == "KEY101"
    assert (ring.folder / "signing.pem").read_bytes() == before


def test_a_rotation_keeps_the_old_public_key_for_its_own_time(ring: KeyRing) -> None:
    old = ring.generate(EARLY)
    signed = ring.signing()
    assert signed is not None
    signature = signed.sign(b"old")
    new = ring.rotate(LATER)

    trust, now = ring.trust(), ring.signing()

    assert now is not None
    assert now.id == new.id != old.id
    assert [key.id for key in trust.keys] == [old.id, new.id]
    assert trust.check(old.id, b"old", signature)
    kept = trust.key(old.id)
    assert kept is not None
    assert kept.was_valid(EARLY)
    assert kept.was_valid(LATER)
    assert not kept.was_valid(LATEST)
    assert not new.was_valid(EARLY)
    assert new.was_valid(LATEST)
    assert sorted(path.name for path in ring.folder.iterdir()) == ["signing.pem", "trust.json"]


@pytest.mark.parametrize("step", ["next key written", "trust written"])
def test_a_rotation_that_died_is_finished_or_forgotten(ring: KeyRing, step: str) -> None:
    ring.generate(EARLY)
    before = (ring.folder / "signing.pem").read_bytes()
    new = ring.rotate(LATER)
    after = (ring.folder / "signing.pem").read_bytes()
    # Put back what was there before the last steps.
    (ring.folder / "signing.pem").write_bytes(before)
    (ring.folder / "signing.pem.next").write_bytes(after)
    os.chmod(ring.folder / "signing.pem.next", 0o600)
    if step == "next key written":
        old = ring.trust().keys[0]
        only = Trust(keys=(replace(old, valid_until=None),))
        (ring.folder / "trust.json").write_bytes(trust_bytes(only))

    key = ring.signing()

    assert key is not None
    assert (key.id == new.id) == (step == "trust written")
    again = ring.rotate(LATEST)
    current = ring.signing()
    assert current is not None
    assert current.id == again.id


def test_a_rotation_needs_a_key(ring: KeyRing) -> None:
    with pytest.raises(BatutaError) as error:
        ring.rotate(EARLY)
    assert code(error) == "KEY105"


def test_a_key_can_lie_where_a_reference_says(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys", tmp_path)
    made = ring.generate(EARLY, reference="file:elsewhere/batuta.pem")

    assert (tmp_path / "elsewhere" / "batuta.pem").is_file()
    assert not (ring.folder / "signing.pem").exists()
    key = KeyRing(tmp_path / "keys", tmp_path).signing()
    assert key is not None
    assert key.id == made.id
    new = ring.rotate(LATER)
    rotated = ring.signing()
    assert rotated is not None
    assert rotated.id == new.id


def test_only_a_file_is_a_reference_to_a_key(ring: KeyRing) -> None:
    with pytest.raises(BatutaError) as error:
        ring.generate(EARLY, reference="env:KEY")
    assert code(error) == "KEY102"


@pytest.mark.parametrize("attack", ["mode", "group", "link", "folder", "fifo", "text", "gone"])
def test_a_key_that_others_could_read_or_exchange_is_refused(
    ring: KeyRing, attack: str, tmp_path: Path
) -> None:
    ring.generate(EARLY)
    path = ring.folder / "signing.pem"
    match attack:
        case "mode":
            path.chmod(0o604)
        case "group":
            path.chmod(0o640)
        case "link":
            path.rename(tmp_path / "real.pem")
            path.symlink_to(tmp_path / "real.pem")
        case "folder":
            ring.folder.chmod(0o777)
        case "fifo":
            path.unlink()
            os.mkfifo(path, 0o600)
        case "text":
            path.write_text("no key")
        case _:
            path.unlink()
            path.symlink_to(tmp_path / "nothing")
    with pytest.raises(BatutaError) as error:
        ring.signing()

    assert code(error) == "KEY102"


def test_a_key_that_nobody_trusts_any_more_does_not_sign(ring: KeyRing) -> None:
    ring.generate(EARLY)
    old = (ring.folder / "signing.pem").read_bytes()
    ring.rotate(LATER)
    (ring.folder / "signing.pem").write_bytes(old)
    with pytest.raises(BatutaError) as error:
        ring.signing()
    assert code(error) == "KEY104"


@pytest.mark.parametrize("lost", ["gone", "of another"])
def test_a_key_is_not_exchanged_while_the_trust_file_does_not_have_it(
    ring: KeyRing, lost: str, tmp_path: Path
) -> None:
    """Who follows a rotation here would lose all that the key has signed."""
    ring.generate(EARLY)
    kept = ring.trust()
    key = (ring.folder / "signing.pem").read_bytes()
    ring.trust_file.unlink()
    if lost != "gone":
        other = KeyRing(tmp_path / "other", tmp_path)
        other.generate(EARLY)
        ring.add(other.trust())
    for do in (ring.signing, lambda: ring.rotate(LATER)):
        with pytest.raises(BatutaError) as error:
            do()
        assert code(error) == "KEY104"
        fix = error.value.diagnostics[0].fix or ""
        assert "`batuta keys trust COPY`" in fix
        assert "rotate" not in fix
    assert (ring.folder / "signing.pem").read_bytes() == key

    ring.add(kept)

    assert ring.signing() is not None
    ring.rotate(LATER)


def test_a_rotation_ends_the_own_key_and_no_other(ring: KeyRing, tmp_path: Path) -> None:
    ring.generate(EARLY)
    other = KeyRing(tmp_path / "other", tmp_path)
    theirs = other.generate(EARLY)
    ring.add(other.trust())

    ring.rotate(LATER)

    assert ring.trust().key(theirs.id) == theirs


@pytest.mark.parametrize("text", ["{}", '{"bad":1}', '{"format_version":2,"keys":[]}', "[]"])
def test_a_file_without_keys_is_no_trust_file(ring: KeyRing, text: str) -> None:
    ring.generate(EARLY)
    ring.trust_file.write_text(text)
    with pytest.raises(BatutaError) as error:
        ring.signing()
    assert code(error) == "KEY103"
    assert "copy" in (error.value.diagnostics[0].fix or "")
    with pytest.raises(BatutaError) as error:
        read_trust(ring.trust_file)
    assert code(error) == "KEY103"
    assert "Name the trust.json" in (error.value.diagnostics[0].fix or "")


@pytest.mark.parametrize("attack", ["mode", "text", "id", "field"])
def test_a_trust_file_that_others_can_write_or_that_lies_is_refused(
    ring: KeyRing, attack: str
) -> None:
    ring.generate(EARLY)
    path = ring.trust_file
    body = json.loads(path.read_bytes())
    match attack:
        case "mode":
            path.chmod(0o666)
        case "text":
            path.write_text("{")
        case "id":
            body["keys"][0]["public"] = base64.b64encode(b"1" * 32).decode()
            path.write_text(json.dumps(body))
        case _:
            body["keys"] = [{"id": "x"}]
            path.write_text(json.dumps(body))
    with pytest.raises(BatutaError) as error:
        read_trust(path)
    assert code(error) == "KEY103"


def test_a_trust_file_that_others_can_write_is_told_one_command(ring: KeyRing) -> None:
    ring.generate(EARLY)
    ring.trust_file.chmod(0o666)
    with pytest.raises(BatutaError) as error:
        read_trust(ring.trust_file)
    assert "600" not in str(error.value)
    assert "chmod go-w" in error.value.diagnostics[0].detail


def test_keys_of_another_workspace_are_added_and_known_ones_keep_their_times(
    ring: KeyRing, tmp_path: Path
) -> None:
    ring.generate(EARLY)
    ring.rotate(LATER)
    other = KeyRing(tmp_path / "other", tmp_path)
    theirs = other.generate(EARLY)

    trust = ring.add(Trust(keys=(*other.trust().keys, *ring.trust().keys)))

    assert len(trust.keys) == 3
    assert trust.key(theirs.id) == theirs
    assert ring.add(other.trust()) == trust


def test_a_private_key_is_not_copied_pickled_or_shown(ring: KeyRing) -> None:
    ring.generate(EARLY)
    key = ring.signing()
    assert key is not None
    for spill in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            spill(key)
    assert key.id in repr(key)
    assert "PRIVATE" not in repr(key)


def test_an_envelope_reads_back_and_signs_type_and_payload_with_their_lengths(
    ring: KeyRing,
) -> None:
    ring.generate(EARLY)
    key = ring.signing()
    assert key is not None
    body = statement("a", "0" * 64, ("https://batuta.dev/test", {"n": 1}))
    content = seal(STATEMENT, body, key.id, key.sign)

    envelope = open_envelope(content)

    assert (envelope.type, envelope.payload, envelope.key) == (STATEMENT, body, key.id)
    assert envelope.holds(ring.trust().check)
    # The example of the protocol's own page.
    assert encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b'{"payload":"","payloadType":"","signatures":[]}', b"[" * 9999],
)
def test_what_is_no_envelope_is_refused_without_a_fault(content: bytes) -> None:
    with pytest.raises(NotSigned):
        open_envelope(content)


def test_an_envelope_has_one_spelling(ring: KeyRing) -> None:
    ring.generate(EARLY)
    key = ring.signing()
    assert key is not None
    content = seal(STATEMENT, b"{}", key.id, key.sign)
    for other in (content + b" ", content.replace(b":", b": ", 1), b" " + content):
        with pytest.raises(NotSigned):
            open_envelope(other)
