"""Laws of the signed log: whoever lacks the key can do nothing to it that is not found.

Attacks: flip a bit, drop an entry, swap two, duplicate one, truncate, sign anew. Truncation is
found because the head is anchored elsewhere; so is a chain written anew with a stolen key.
"""

import base64
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.entry import encode
from batuta.connectors.alimentar.log import open_log
from batuta.connectors.alimentar.names import entry_name, seal_name
from batuta.connectors.alimentar.verify import verify
from batuta.model.canonical import Json, canonical_bytes
from batuta.model.diagnostic import BatutaError
from batuta.model.log import Head, LogEntry
from batuta.runtime.audit_check import TYPE, check_bundle, summary_of
from batuta.runtime.dsse import seal
from batuta.runtime.keys import KeyRing, SigningKey
from batuta.runtime.seals import Seals, judge, said_in
from batuta.runtime.trust import Trust
from tests.unit.connectors.alimentar_bench import MemoryStore, draft, part_path, stage_all

SINCE = "2026-01-01T00:00:00.000Z"
COUNT = 4
KEPT: dict[str, Json] = {"enforced": False, "level": "advisory"}
Objects = dict[str, bytes]


@functools.cache
def keys() -> tuple[Seals, Seals]:
    """The signer of the log, and somebody else with a key of their own."""
    root = Path(tempfile.mkdtemp())
    found = []
    for name in ("own", "stranger"):
        KeyRing(root / name, root).generate(SINCE)
        found.append(Seals(root / name, root, {"actor": name}))
    return found[0], found[1]


def trust() -> Trust:
    return keys()[0].keys[1]


def key() -> SigningKey:
    own = keys()[0].keys[0]
    assert own is not None
    return own


@functools.cache
def log() -> Objects:
    """A signed log of four entries with their parts."""
    files = MemoryStore(moves=True)
    for number in range(COUNT):
        content = {part_path(b"%d" % number): b"%d" % number}
        there = open_log(files)
        entry = draft(content, written_at=f"2026-03-0{number + 1}T00:00:00.000Z")
        head = there.head if there else None
        keys()[0].tell("Dataset/orders", run="r1", enforcement=dict(KEPT))
        sign = keys()[0].seal("out/", None).sign
        commit(files, there, entry, head, stage_all(files, content), sign=sign)
    return dict(files.objects)


def head(objects: Objects | None = None) -> Head:
    content = (objects or log())[entry_name(COUNT - 1)]
    return Head(COUNT - 1, hashlib.sha256(content).hexdigest())


def is_found(objects: Objects, anchor: Head | None) -> bool:
    files = MemoryStore(moves=True)
    files.objects = dict(objects)
    files.times = dict.fromkeys(objects, 0)
    check = functools.partial(judge, trust())
    return not verify(files, anchor, lambda _files, _bytes: None, check).ok


def test_the_log_as_it_was_written_is_whole() -> None:
    assert not is_found(log(), head())
    assert not is_found(log(), None)


@given(st.sampled_from(sorted(log())), st.data())
def test_any_flipped_bit_is_found(name: str, data: st.DataObject) -> None:
    content = bytearray(log()[name])
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8

    assert is_found(log() | {name: bytes(content)}, None)


@given(st.sets(st.integers(0, COUNT - 1), min_size=1), st.booleans())
def test_any_dropped_entries_are_found(gone: set[int], with_seals: bool) -> None:
    left = {
        name: content
        for name, content in log().items()
        if not any(name == entry_name(v) or (with_seals and name == seal_name(v)) for v in gone)
    }
    assert is_found(left, head())
    if min(gone) < COUNT - len(gone) or not with_seals:
        assert is_found(left, None), "only what is cut off at the end needs an anchor"


@given(st.permutations(range(COUNT)), st.booleans())
def test_any_order_but_the_right_one_is_found(order: list[int], with_seals: bool) -> None:
    assume(order != sorted(order))
    moved = dict(log())
    for place, version in enumerate(order):
        moved[entry_name(place)] = log()[entry_name(version)]
        if with_seals:
            moved[seal_name(place)] = log()[seal_name(version)]

    assert is_found(moved, None)


@given(st.integers(0, COUNT - 1), st.integers(1, COUNT), st.booleans())
def test_a_duplicate_is_found(which: int, at: int, with_seal: bool) -> None:
    doubled = dict(log())
    for version in range(COUNT - 1, at - 1, -1):
        doubled[entry_name(version + 1)] = log()[entry_name(version)]
        doubled[seal_name(version + 1)] = log()[seal_name(version)]
    doubled[entry_name(at)] = log()[entry_name(which)]
    if with_seal:
        doubled[seal_name(at)] = log()[seal_name(which)]

    assert is_found(doubled, None)


@given(st.integers(0, COUNT - 2))
def test_a_truncation_is_found_by_the_head_that_was_anchored_elsewhere(last: int) -> None:
    cut = {
        name: content
        for name, content in log().items()
        if not any(name in {entry_name(v), seal_name(v)} for v in range(last + 1, COUNT))
    }
    assert is_found(cut, head())


def rewritten(change: Callable[[int, LogEntry], LogEntry], signer: Seals | None) -> Objects:
    """The whole chain anew, as somebody would write it who can write in the folder."""
    objects = dict(log())
    parent = None
    for version in range(COUNT):
        entry = msgspec.json.decode(log()[entry_name(version)], type=LogEntry)
        entry = change(version, replace(entry, parent=parent))
        content = encode(entry)
        parent = hashlib.sha256(content).hexdigest()
        objects[entry_name(version)] = content
        if signer is not None:
            objects[seal_name(version)] = signer.sign(Head(version, parent), entry)
    return objects


def weaker(_version: int, entry: LogEntry) -> LogEntry:
    return replace(entry, label=replace(entry.label, confidentiality="Standard"))


def test_a_chain_written_anew_without_the_key_is_found() -> None:
    assert is_found(rewritten(weaker, None), None)


def test_a_chain_signed_anew_by_a_stranger_is_found() -> None:
    assert is_found(rewritten(weaker, keys()[1]), None)


def test_a_stranger_who_names_the_trusted_key_is_found() -> None:
    forged = rewritten(weaker, keys()[1])
    for version in range(COUNT):
        envelope = json.loads(forged[seal_name(version)])
        envelope["signatures"][0]["keyid"] = key().id
        forged[seal_name(version)] = canonical_bytes(envelope)

    assert is_found(forged, None)


def test_a_chain_signed_anew_with_the_stolen_key_is_found_by_a_head_elsewhere() -> None:
    stolen = rewritten(weaker, keys()[0])

    assert not is_found(stolen, None), "the folder alone cannot show it"
    assert is_found(stolen, head())


def test_a_claim_to_be_older_than_the_key_does_not_make_signatures_needless() -> None:
    def older(version: int, entry: LogEntry) -> LogEntry:
        if version < COUNT - 1:
            return entry
        return replace(weaker(version, entry), written_at="2020-01-01T00:00:00.000Z")

    forged = rewritten(older, None)
    del forged[seal_name(COUNT - 1)]

    assert is_found(forged, None)


# -- bundles ----------------------------------------------------------------------------------


def history() -> dict[str, Json]:
    """What an audit says of the log."""
    evidence: list[Json] = []
    versions: list[Json] = []
    for version in range(COUNT):
        content = log()[entry_name(version)]
        entry = msgspec.json.decode(content, type=LogEntry)
        here = Head(version, hashlib.sha256(content).hexdigest())
        signature = log()[seal_name(version)].decode()
        evidence.append({"entry": content.decode(), "signature": signature})
        versions.append(summary_of(here, entry, "good", said_in(signature.encode())))
    end: Json = {"version": COUNT - 1, "digest": head().digest}
    return {"head": end, "evidence": evidence, "versions": versions}


def bundle() -> bytes:
    """An audit of a dataset that lay elsewhere before, as the auditor makes it."""
    body: dict[str, Json] = {
        "format_version": 2, "resource": "Dataset/orders", "made_at": "2026-04-01T00:00:00.000Z",
        "gaps": [], "runs": [{"id": "r1", "enforcement": dict(KEPT)}], "earlier": [{"place": "old/", **history()}], **history(),
    }  # fmt: skip
    return canonical_bytes(body)


def checked(content: bytes) -> bool:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return not check_bundle(Path(file.name), trust()).problems


def signed(body: bytes, by: SigningKey | None = None) -> bytes:
    own = by or key()
    return seal(TYPE, body, own.id, own.sign)


def test_a_bundle_holds_offline() -> None:
    assert checked(signed(bundle()))


def test_a_bundle_from_before_there_were_places_holds() -> None:
    body = json.loads(bundle())
    body["format_version"] = 1
    del body["earlier"]
    assert not checked(signed(canonical_bytes(body)))
    for version in body["versions"]:
        for name in ("place", "platform", "place_from"):
            del version[name]
    assert checked(signed(canonical_bytes(body)))


def test_a_place_that_only_the_state_knew_is_taken_from_it() -> None:
    """Where no signature says one; the signature of the whole vouches for it."""
    body = json.loads(bundle())
    first, place = body["evidence"][0], {"place": "old/", "platform": None, "place_from": "state"}
    body["versions"][0] |= place
    assert not checked(signed(canonical_bytes(body)))
    content = first["entry"].encode()
    here = Head(0, hashlib.sha256(content).hexdigest())
    entry = msgspec.json.decode(content, type=LogEntry)
    first["signature"] = keys()[0].sign(here, entry).decode()
    assert checked(signed(canonical_bytes(body)))


@given(st.data())
def test_any_flipped_bit_of_a_bundle_is_found(data: st.DataObject) -> None:
    content = bytearray(signed(bundle()))
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    try:
        found = checked(bytes(content))
    except BatutaError as error:
        found = error.diagnostics[0].code != "AUD101"
    assert not found


def test_a_bundle_signed_by_a_stranger_is_found() -> None:
    stranger = keys()[1].keys[0]
    assert stranger is not None
    assert not checked(signed(bundle(), stranger))


@given(st.sampled_from(["drop", "swap", "summary", "place", "signature", "head", "earlier", "run"]))
def test_a_bundle_whose_maker_lies_contradicts_itself(lie: str) -> None:
    body = json.loads(bundle())
    match lie:
        case "drop":
            del body["evidence"][1], body["versions"][1]
        case "swap":
            body["evidence"][0], body["evidence"][1] = body["evidence"][1], body["evidence"][0]
        case "summary":
            body["versions"][2]["tier"] = "Standard"
        case "place":
            body["versions"][2]["place"] = "elsewhere/"
        case "run":
            body["runs"][0]["enforcement"]["level"] = "isolated"
        case "earlier":
            body["earlier"][0]["versions"][1]["label"]["confidentiality"] = "Standard"
        case "signature":
            body["evidence"][3]["signature"] = body["evidence"][2]["signature"]
        case _:
            body["head"]["digest"] = "0" * 64

    assert not checked(signed(canonical_bytes(body)))


def test_a_signature_is_of_one_entry_and_says_who_and_when() -> None:
    envelope = json.loads(log()[seal_name(2)])
    said = json.loads(base64.b64decode(envelope["payload"]))

    assert said["subject"] == [
        {
            "name": entry_name(2),
            "digest": {"sha256": hashlib.sha256(log()[entry_name(2)]).hexdigest()},
        }
    ]
    assert said["predicate"]["actor"] == "own"
    assert said["predicate"]["version"] == 2
    assert said["predicate"]["signed_at"] > SINCE
