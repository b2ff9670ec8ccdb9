"""Signed statements: an in-toto Statement in a DSSE envelope, in the one canonical spelling.

Sources: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md and
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batuta.model.canonical import Json, canonical_bytes

STATEMENT = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_ENVELOPE_KEYS = {"payload", "payloadType", "signatures"}

SignBytes = Callable[[bytes], bytes]
CheckBytes = Callable[[str, bytes, bytes], bool]
"""Takes a key's id, the signed bytes and the signature."""


class NotSigned(Exception):
    """These bytes are no envelope in its one spelling; the text says why."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that was read: nothing in it is to be believed until `holds` says so."""

    type: str
    payload: bytes
    key: str
    signature: bytes

    def holds(self, check: CheckBytes) -> bool:
        """True where the key that the envelope names made the signature."""
        return check(self.key, encoding(self.type, self.payload), self.signature)


def encoding(type_: str, payload: bytes) -> bytes:
    """Return the bytes that are signed (DSSE's pre-authentication encoding)."""
    name = type_.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def seal(type_: str, payload: bytes, key: str, sign: SignBytes) -> bytes:
    """Return the envelope of `payload`, as canonical JSON."""
    signature = sign(encoding(type_, payload))
    return canonical_bytes(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": type_,
            "signatures": [{"keyid": key, "sig": base64.b64encode(signature).decode()}],
        }
    )


def open_envelope(content: bytes) -> Envelope:
    """Return the envelope that `content` spells.

    Raises:
        NotSigned: it is none, or is spelled in another way than `seal` spells it.
    """
    try:
        value = json.loads(content)
        if not isinstance(value, dict) or value.keys() != _ENVELOPE_KEYS:
            raise NotSigned("it has not the fields of an envelope")
        if canonical_bytes(value) != content:
            raise NotSigned("it is not spelled as batuta spells it")
        (one,) = value["signatures"]
        return Envelope(
            str(value["payloadType"]),
            base64.b64decode(value["payload"], validate=True),
            str(one["keyid"]),
            base64.b64decode(one["sig"], validate=True),
        )
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as error:
        raise NotSigned("it does not parse") from error


def statement(name: str, sha256: str, predicate: tuple[str, Mapping[str, Json]]) -> bytes:
    """Return a statement about one file: its name, its digest, and what is said of it."""
    kind, said = predicate
    return canonical_bytes(
        {
            "_type": _STATEMENT_TYPE,
            "predicate": dict(said),
            "predicateType": kind,
            "subject": [{"digest": {"sha256": sha256}, "name": name}],
        }
    )


def said_of(payload: bytes, kind: str, name: str, sha256: str) -> Mapping[str, Json] | None:
    """Return what a statement says of a file; None where it is about anything else."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    subject = [{"digest": {"sha256": sha256}, "name": name}]
    wanted = {"_type": _STATEMENT_TYPE, "predicateType": kind, "subject": subject}
    if not isinstance(value, dict) or any(value.get(k) != v for k, v in wanted.items()):
        return None
    predicate = value.get("predicate")
    return predicate if isinstance(predicate, dict) else None
