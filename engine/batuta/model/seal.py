"""Signatures over a log: a port, so that who writes the log knows nothing of keys.

A signature lies beside its entry and never changes it: the chain of digests is the same with
and without. `Seal` is what a dataset is opened with; without it nothing is signed or checked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from batuta.model.log import Head, LogEntry

SealState = Literal["good", "absent", "broken", "untrusted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealFinding:
    """What is known of one entry's signature; `detail` is a sentence unless it is good.

    `required` says that an entry of this time should have one. `key` is the id of the key that
    the signature names, None where there is no signature that can be read.
    """

    state: SealState
    detail: str = ""
    required: bool = False
    key: str | None = None


Sign = Callable[[Head, LogEntry], bytes]
"""Returns the signature of an entry, as the bytes of the file that lies beside it."""

CheckSeal = Callable[[Head, LogEntry, bytes | None], SealFinding]
"""Judges the signature of an entry; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """How a dataset's log is signed and how its signatures are judged; None: not at all."""

    sign: Sign | None = None
    check: CheckSeal | None = None


NO_SEAL = Seal()
