"""Signatures of log entries: made with the workspace's key, judged with its trust file."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from batuta.model.canonical import Json
from batuta.model.log import Head, LogEntry
from batuta.model.seal import Seal, SealFinding
from batuta.runtime.clock import now_utc
from batuta.runtime.dsse import (
    STATEMENT,
    Envelope,
    NotSigned,
    open_envelope,
    said_of,
    seal,
    statement,
)
from batuta.runtime.trust import Trust, key_missing, no_key

if TYPE_CHECKING:
    from batuta.runtime.keys import KeyRing, SigningKey

PREDICATE = "https://batuta.dev/provenance/v1"


@dataclass
class Seals:
    """Signs and judges with one workspace's keys, which are read at the first use.

    `folder` is where the keys are; it need not exist. `root` is where their references start.

    `said` is what every signature of this process tells besides: who acts, in which run. What is
    known of one resource alone (how its worker was confined, by which policies) is told with `tell`.
    """

    folder: Path
    root: Path
    said: dict[str, Json] = field(default_factory=dict)
    _told: dict[str, dict[str, Json]] = field(default_factory=dict)
    _keys: "tuple[SigningKey | None, Trust] | None" = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def seal(self, place: str, platform: str | None) -> Seal:
        """Return what the dataset at `place` is opened with; without keys it does nothing.

        What is signed there says where it lay: its entry says that nowhere.

        Raises:
            BatutaError: KEY codes, there are keys and they cannot be used.
        """
        trusted = bool(self.keys[1].keys)
        return Seal(
            sign=partial(self.sign, place=place, platform=platform) if trusted else None,
            check=self.judge if trusted else None,
        )

    @property
    def ring(self) -> "KeyRing":
        """The keys themselves, to be made and exchanged."""
        from batuta.runtime.keys import KeyRing

        return KeyRing(self.folder, self.root)

    @property
    def keys(self) -> "tuple[SigningKey | None, Trust]":
        """The key to sign with and the trusted ones."""
        with self._guard:
            if self._keys is None:
                # What reads keys is slow to import, and most workspaces have none.
                there = os.path.isdir(self.folder)
                self._keys = (self.ring.signing(), self.ring.trust()) if there else (None, Trust())
            return self._keys

    @property
    def key(self) -> "SigningKey":
        """The key to sign with.

        Raises:
            BatutaError: KEY105, none was made; KEY106, others are trusted and it is missing.
        """
        key, trust = self.keys
        if key is None:
            raise key_missing(self.folder) if trust.keys else no_key()
        return key

    def require(self) -> None:
        """Refuse to begin what writes entries, where they have to be signed and cannot be.

        Without any keys nothing is signed, and nothing is refused.

        Raises:
            BatutaError: KEY106.
        """
        if self.keys[1].keys:
            _ = self.key

    def tell(self, resource: str, **facts: Json) -> None:
        """Say something that the next signatures of one resource's entries are to tell."""
        with self._guard:
            self._told.setdefault(resource, {}).update(facts)

    def forget(self) -> None:
        """Say no more of a run that has ended: what is signed next is not of it."""
        with self._guard:
            self._told.clear()
            self.said.pop("run", None)

    def sign(self, head: Head, entry: LogEntry, **more: Json) -> bytes:
        """Return the envelope of a statement about `entry`, which tells `more` besides.

        Raises:
            BatutaError: as `key`.
        """
        key = self.key
        with self._guard:
            told = dict(self._told.get(entry.resource, {}))
        said = {**self.said, **told, **more, **_of_entry(entry), "signed_at": now_utc()}
        body = statement(_name(head), head.digest, (PREDICATE, said))
        return seal(STATEMENT, body, key.id, key.sign)

    def judge(self, head: Head, entry: LogEntry, content: bytes | None) -> SealFinding:
        """Judge the signature of an entry by the trust file."""
        return judge(self.keys[1], head, entry, content)


def judge(trust: Trust, head: Head, entry: LogEntry, content: bytes | None) -> SealFinding:
    """Judge the signature of an entry.

    An entry of a time when there was a key is required to have one. A time is what an entry says
    of itself: what holds is that a signed one vouches for all before it.
    """
    since = trust.since
    required = since is not None and entry.written_at >= since
    if content is None:
        detail = "no signature lies beside it."
        return SealFinding(state="absent", detail=detail, required=required)
    try:
        envelope = open_envelope(content)
    except NotSigned as error:
        detail = f"its signature cannot be read: {error}."
        return SealFinding(state="broken", detail=detail, required=required)
    return _judged(trust, (head, entry), envelope, required)


def _judged(
    trust: Trust, about: tuple[Head, LogEntry], envelope: Envelope, required: bool
) -> SealFinding:
    head, entry = about

    def found(state: str, detail: str = "") -> SealFinding:
        return SealFinding(
            state=state,  # type: ignore[arg-type]  # literals, three lines below
            detail=detail, required=required, key=envelope.key,
        )  # fmt: skip

    key = trust.key(envelope.key)
    if key is None:
        return found("untrusted", f"it names the key {envelope.key}, which nobody trusts.")
    said = said_of(envelope.payload, PREDICATE, _name(head), head.digest)
    if envelope.type != STATEMENT or not envelope.holds(trust.check):
        return found("broken", f"the key {key.id} did not sign what lies there.")
    if said is None or any(said.get(name) != value for name, value in _of_entry(entry).items()):
        return found("broken", "it was made for another entry.")
    if not key.was_valid(str(said.get("signed_at"))):
        return found("untrusted", f"the key {key.id} was not valid when it signed.")
    return found("good")


def said_in(content: bytes) -> Mapping[str, Json]:
    """Return what a signature that was judged good tells besides, by name."""
    import json

    predicate: Mapping[str, Json] = json.loads(open_envelope(content).payload)["predicate"]
    return predicate


def _of_entry(entry: LogEntry) -> dict[str, Json]:
    source = entry.source
    return {
        "inputs": [{"address": source.address, "version": source.version}] if source else [],
        "label": {**msgspec.to_builtins(entry.label), "residency": list(entry.label.residency)},
        "operation": entry.action,
        "parent": entry.parent,
        "plan": entry.plan,
        "resource": entry.resource,
        "version": entry.version,
    }


def _name(head: Head) -> str:
    return f"_log/{head.version:020d}.json"
