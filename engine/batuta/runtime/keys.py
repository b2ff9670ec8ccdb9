"""The key that signs logs, approvals and audits, and the public keys that are trusted.

`<home>/keys/` holds `signing.pem` (Ed25519, PKCS 8, readable by its owner alone) or, where the key
lies elsewhere, `signing.ref` with its `file:` reference; and `trust.json`. The supervisor alone
opens them: a worker never gets a key.
"""

import base64
import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.runtime.private_file import (
    Unfit,
    read_guarded,
    read_private,
    sync_folder,
    write_private,
)
from batuta.runtime.trust import (
    TRUST_NAME,
    Trust,
    TrustedKey,
    key_id,
    key_missing,
    no_key,
    read_trust,
    trust_bytes,
)

_KEY, _NEXT, _REFERENCE = "signing.pem", "signing.pem.next", "signing.ref"
_FILE = "file:"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in memory; `id` names its public half."""

    id: str
    public: str
    _private: Ed25519PrivateKey

    def sign(self, content: bytes) -> bytes:
        """Return the signature of `content`, 64 bytes."""
        return self._private.sign(content)

    def __reduce__(self) -> str:
        raise TypeError("a private key is not to be copied")

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one workspace; `folder` need not exist. `root` is where references start."""

    folder: Path
    root: Path

    @property
    def trust_file(self) -> Path:
        """Where the trusted public keys are."""
        return self.folder / TRUST_NAME

    def trust(self) -> Trust:
        """Return the trusted keys; empty where there is no trust file.

        Raises:
            BatutaError: KEY103, the file is there and cannot be used.
        """
        there = os.path.lexists(self.trust_file)
        return read_trust(self.trust_file, own=True) if there else Trust()

    def signing(self) -> SigningKey | None:
        """Return the key to sign with, None where none was made.

        Raises:
            BatutaError: KEY102, the key is there and may not or cannot be read; KEY104, it is
                not the current one of the trust file.
        """
        place = self._place()
        if place is None:
            return None
        self._finish_rotation(place)
        key = _load(place)
        if self._trusted(key).valid_until is not None:
            raise _untrusted(f"The key {key.id} has ended", "Make a new one: `batuta keys rotate`.")
        return key

    def generate(self, now: str, note: str = "", reference: str | None = None) -> TrustedKey:
        """Make the first key at `now` (RFC 3339 UTC); `reference` says where it is to lie.

        Raises:
            BatutaError: KEY101, there is one already; KEY102, it cannot be written there.
        """
        if self._place() is not None:
            raise BatutaError(
                Diagnostic(
                    code="KEY101",
                    summary="There is a signing key already",
                    detail=f"{self.folder.name}/ has a key, and a key is never written over.",
                    fix="Exchange it, so that what it signed goes on to hold: batuta keys rotate",
                )
            )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        private = Ed25519PrivateKey.generate()
        place = self._referred(reference) if reference is not None else self.folder / _KEY
        _write(place, private)
        if reference is not None:
            _replace(self.folder / _REFERENCE, reference.encode() + b"\n")
        made = _public(private, now, note)
        self._trust(replace(self.trust(), keys=(*self.trust().keys, made)))
        return made

    def rotate(self, now: str, note: str = "") -> TrustedKey:
        """Exchange the key at `now`; the old public key goes on to hold for what it signed.

        A death at any point leaves one key that signs and is trusted: the next use finishes.

        Raises:
            BatutaError: KEY104, nobody trusts the key that would be ended; KEY105, none was made;
                KEY106, it is missing; else as `generate`.
        """
        place = self._place()
        if place is None:
            raise key_missing(self.folder) if self.trust().keys else no_key()
        self._finish_rotation(place)
        own = self._trusted(_load(place))
        private = Ed25519PrivateKey.generate()
        waiting = place.with_name(place.name + ".next")
        with contextlib.suppress(FileNotFoundError):
            waiting.unlink()  # of a rotation that died before anybody trusted it
        _write(waiting, private)
        made = _public(private, now, note)
        ended = replace(own, valid_until=own.valid_until or now)
        others = (ended if key.id == own.id else key for key in self.trust().keys)
        self._trust(Trust(keys=(*others, made)))
        self._finish_rotation(place)
        return made

    def add(self, others: Trust) -> Trust:
        """Trust the keys of another file as well; a key that is known keeps its times."""
        known = self.trust()
        fresh = tuple(key for key in others.keys if known.key(key.id) is None)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._trust(replace(known, keys=(*known.keys, *fresh)))
        return self.trust()

    def _trusted(self, key: SigningKey) -> TrustedKey:
        """Return what the trust file says of the own key; who lost that file is not to lose the key."""
        if (found := self.trust().key(key.id)) is not None:
            return found
        what = f"{TRUST_NAME} does not have the key {key.id}"
        if not os.path.lexists(self.trust_file):
            what = f"{TRUST_NAME} is not there, which has the public half of the key {key.id}"
        raise _untrusted(
            what,
            f"Bring {TRUST_NAME} back to {self.folder} from a copy, or take the keys in from one that"
            " somebody else has: `batuta keys trust COPY`. Keep the private key.",
        )

    def _place(self) -> Path | None:
        if os.path.lexists(self.folder / _REFERENCE):
            try:
                return self._referred(read_guarded(self.folder / _REFERENCE).decode().strip())
            except (Unfit, OSError, UnicodeDecodeError) as error:
                raise _unusable(self.folder / _REFERENCE, error) from error
        place = self.folder / _KEY
        waiting = os.path.lexists(self.folder / _NEXT)
        return place if os.path.lexists(place) or waiting else None

    def _referred(self, reference: str) -> Path:
        if not reference.startswith(_FILE):
            raise BatutaError(
                Diagnostic(
                    code="KEY102",
                    summary="The signing key cannot be used",
                    detail=f"`{reference.partition(':')[0]}:` is no reference to a key.",
                    fix="Write file:PATH; the file is made there.",
                )
            )
        path = Path(os.path.expanduser(reference.removeprefix(_FILE)))
        return path if path.is_absolute() else self.root / path

    def _finish_rotation(self, place: Path) -> None:
        waiting = place.with_name(place.name + ".next")
        if not os.path.lexists(waiting):
            return
        if self.trust().key(_load(waiting).id) is not None:
            os.replace(waiting, place)
            sync_folder(place.parent)

    def _trust(self, trust: Trust) -> None:
        _replace(self.trust_file, trust_bytes(trust))


def _public(private: Ed25519PrivateKey, now: str, note: str) -> TrustedKey:
    public = private.public_key().public_bytes_raw()
    return TrustedKey(
        id=key_id(public), public=base64.b64encode(public).decode(), valid_from=now, note=note
    )


def _write(path: Path, private: Ed25519PrivateKey) -> None:
    content = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, content)
    except OSError as error:
        raise _unusable(path, error) from error


def _load(path: Path) -> SigningKey:
    try:
        private = serialization.load_pem_private_key(read_private(path), password=None)
    except (Unfit, OSError, ValueError, TypeError) as error:
        raise _unusable(path, error) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _unusable(path, Unfit("it is not an Ed25519 key"))
    public = private.public_key().public_bytes_raw()
    return SigningKey(key_id(public), base64.b64encode(public).decode(), private)


def _replace(path: Path, content: bytes) -> None:
    """Write a public file whole, in the place of the one before."""
    waiting = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        waiting.unlink()
    write_private(waiting, content)
    os.chmod(waiting, 0o644)  # public keys are for everybody to read
    os.replace(waiting, path)
    sync_folder(path.parent)


def _untrusted(what: str, fix: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="KEY104",
            summary="The signing key is not a trusted one",
            detail=f"{what}, so nobody would believe what it signs.",
            fix=fix,
        )
    )


def _unusable(path: Path, error: Exception) -> BatutaError:
    name, fix = (
        path.name,
        "The key is a file of its owner alone (chmod 600), without links on the way.",
    )
    match error:
        case FileNotFoundError():
            name, why = str(path), "it is not there"
            fix = (
                f"Bring it back from a copy. Where it is lost, remove {_REFERENCE} beside the trust"
                " file and make a new one: `batuta keys generate`."
            )
        case Unfit():
            why = str(error)
        case OSError():
            why = (error.strerror or "it cannot be opened").lower()
        case _:
            why = "it is not a private key in PEM"
    return BatutaError(
        Diagnostic(
            code="KEY102",
            summary="The signing key cannot be used",
            detail=f"{name}: {why}.",
            fix=fix,
        )
    )
