"""The trust file: public keys with the times in which they may have signed.

It holds no secret and is meant to be copied to whoever verifies. A key that was rotated out
stays in it, with the time at which it ended, so that what it signed before goes on to hold.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from batuta.model.canonical import canonical_bytes
from batuta.model.diagnostic import BatutaError, Diagnostic
from batuta.runtime.private_file import Unfit, read_guarded

TRUST_FORMAT = 1
TRUST_NAME = "trust.json"
_OWN_FIX = "Bring it back from a copy; only its owner may write it (chmod go-w)."
_FIX = (
    "Name the trust.json of the workspace whose keys are to be trusted; only its owner may write it"
    " (chmod go-w)."
)
_ID_DIGITS = 32
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """One public key. Times are RFC 3339 UTC; `valid_until` is None while it is in use."""

    id: str
    public: str
    valid_from: str
    valid_until: str | None = None
    note: str = ""

    def was_valid(self, at: str) -> bool:
        """True where the key may have signed at `at`, a time as batuta writes it."""
        return self.valid_from <= at and (self.valid_until is None or at <= self.valid_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """All keys that are trusted, oldest first; none at all where nobody made one."""

    format_version: int = TRUST_FORMAT
    keys: tuple[TrustedKey, ...] = ()

    def key(self, name: str) -> TrustedKey | None:
        """Return the key of an id, None where it is not trusted."""
        return next((key for key in self.keys if key.id == name), None)

    @property
    def since(self) -> str | None:
        """When the first key became valid: from then on entries should be signed."""
        return min((key.valid_from for key in self.keys), default=None)

    def check(self, name: str, signed: bytes, signature: bytes) -> bool:
        """True where the trusted key `name` made the signature."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        key = self.key(name)
        if key is None:
            return False
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public))
            public.verify(signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True


def key_id(public: bytes) -> str:
    """Return the name of a public key: the first 32 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:_ID_DIGITS]


def trust_bytes(trust: Trust) -> bytes:
    """Return the text of a trust file."""
    return canonical_bytes(msgspec.to_builtins(trust)) + b"\n"


def read_trust(path: Path, *, own: bool = False) -> Trust:
    """Return the trust file at `path`, the workspace's own or one that somebody named.

    Raises:
        BatutaError: KEY103, it cannot be read, others can write it, or it is no trust file.
    """
    fix = _OWN_FIX if own else _FIX
    try:
        trust = msgspec.json.decode(read_guarded(path), type=Trust)
    except Unfit as error:
        raise _unusable(path, str(error), fix) from error
    except OSError as error:
        why = (error.strerror or "it cannot be read").lower()
        raise _unusable(path, why, fix) from error
    except msgspec.MsgspecError as error:
        raise _unusable(path, "it is no trust file", fix) from error
    if not trust.keys or trust.format_version != TRUST_FORMAT:
        # Whatever has other fields reads as a trust file without keys.
        why = "it names no keys" if not trust.keys else "it is of another version"
        raise _unusable(path, f"{why}, so it is no trust file", fix)
    for key in trust.keys:
        if (wrong := _wrong_with(key)) is not None:
            raise _unusable(path, wrong, fix)
    return trust


def no_key() -> BatutaError:
    """Return the refusal of what needs a key where there is none."""
    return BatutaError(
        Diagnostic(
            code="KEY105",
            summary="There is no signing key",
            detail="What has to be signed needs a key, and this workspace has none.",
            fix="Make one: batuta keys generate",
        )
    )


def key_missing(folder: Path) -> BatutaError:
    """Return the refusal of what has to be signed where the keys lie in `folder`, but the private one."""
    return BatutaError(
        Diagnostic(
            code="KEY106",
            summary="The private key is missing",
            detail=f"Keys are trusted here ({folder.name}/{TRUST_NAME}), so what is written has to be"
            " signed, and there is no private key to sign with. Unsigned it would hold nowhere.",
            fix=f"Bring signing.pem back to {folder} from a copy. Where it is lost, or there never"
            " was one: `batuta keys generate`. What a lost key signed goes on to hold.",
        )
    )


def _wrong_with(key: TrustedKey) -> str | None:
    try:
        public = base64.b64decode(key.public, validate=True)
    except ValueError:
        return f"the key {key.id} does not parse"
    if len(public) != _KEY_BYTES or key_id(public) != key.id:
        return f"the key {key.id} is not the one that its id names"
    return None


def _unusable(path: Path, why: str, fix: str) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="KEY103",
            summary="The trust file cannot be used",
            detail=f"{path.name}: {why}.",
            fix=fix,
        )
    )
