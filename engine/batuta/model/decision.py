"""What a person decided about a label: a record in a log, consumed by the run that needs it."""

from dataclasses import dataclass
from typing import Literal

from batuta.model.canonical import Json, digest
from batuta.model.log import Label

APPROVAL = "approval"
"""The name of a decision that is granted; its text is the record, signed where a key exists."""

APPROVAL_USED = "approval-used"
"""The name of a decision that a commit consumed; the text is the same record."""

APPROVAL_KINDS = frozenset({APPROVAL, APPROVAL_USED})

ApprovalKind = Literal["declassify", "endorse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One decision: the data of one digest may be taken for less confidential, or more trusted.

    `content` is `content_digest` of the parts it is about: other rows need another approval.
    `before` is the label at that time. `declassify` lowers the confidentiality to `tier`,
    `endorse` raises the integrity to it. `made_at` and `expires_at` are RFC 3339 UTC. It is
    used by one commit and then spent. `key` is the id of the key that signed it, empty for none;
    `text` is the record as it lies in the log.
    """

    id: str
    kind: ApprovalKind
    resource: str
    content: str
    before: Label
    tier: str
    reason: str
    actor: str
    made_at: str
    expires_at: str
    key: str = ""
    text: str = ""


def content_digest(parts: "tuple[tuple[str, str], ...]") -> str:
    """Return the SHA-256 that names rows by the files they lie in: (path, SHA-256) in any order."""
    pairs: list[Json] = [list(pair) for pair in sorted(parts)]
    return digest(pairs)
