"""What the state remembers of labels: of contents by their digest, and of decisions once used.

So a file keeps its label when it is copied elsewhere, or when the log beside it is gone.
"""

from collections.abc import Sequence

import msgspec

from batuta.model.canonical import canonical_bytes
from batuta.model.decision import APPROVAL_USED
from batuta.model.log import Label, LogEntry, Part
from batuta.runtime.state.store import StateStore, Write

_AT_ONCE = 500
_COPIED = (
    "INSERT OR REPLACE INTO labels SELECT ?, ?, ? WHERE NOT EXISTS "
    "(SELECT 1 FROM labels WHERE sha256 = ? AND source <> ?)"
)

_STATED = "INSERT OR REPLACE INTO labels VALUES (?, ?, ?)"
_USED = "INSERT OR IGNORE INTO spent_approvals VALUES (?, ?, ?)"


def label_writes(entry: LogEntry, parts: Sequence[Part]) -> list[Write]:
    """Remember the label of `parts`, which `entry` added or relabelled, and what it used up.

    Empty files say nothing: their digest is everybody's. Nor does data whose tier was only derived:
    nobody promised anything of it, and the same bytes may rightly lie elsewhere. A copy of what another dataset keeps is
    known by where that one had it from.
    """
    source = entry.source.address if entry.source is not None else ""
    text = canonical_bytes(msgspec.to_builtins(entry.label)).decode()
    writes: list[Write] = [
        (_COPIED, (part.sha256, source, text, part.sha256, source))
        if source.startswith("dataset:")
        else (_STATED, (part.sha256, source, text))
        for part in parts
        if part.size_bytes and not entry.facts.tier_derived
    ]
    writes += [
        (_USED, (used, entry.resource, entry.written_at))
        for name, used in entry.decisions
        if name == APPROVAL_USED
    ]
    return writes


def forgotten(store: StateStore, writes: Sequence[Write]) -> tuple[list[Write], list[Write]]:
    """Return those of `label_writes` that would change the state: of labels, and of decisions.

    Of several about one content from one source the last counts.
    """
    last = {(sql == _USED, *values[: 1 if sql == _USED else 2]): (sql, values)
            for sql, values in writes}  # fmt: skip
    new = [write for write in last.values() if not _is_remembered(store, write)]
    return [w for w in new if w[0] != _USED], [w for w in new if w[0] == _USED]


def _is_remembered(store: StateStore, write: Write) -> bool:
    sql, values = write
    if sql == _USED:
        return bool(store.rows("SELECT 1 FROM spent_approvals WHERE text = ?", values[:1]))
    same = "SELECT 1 FROM labels WHERE sha256 = ? AND source = ? AND label = ?"
    if store.rows(same, values[:3]):
        return True
    elsewhere = "SELECT 1 FROM labels WHERE sha256 = ? AND source <> ?"
    return sql == _COPIED and bool(store.rows(elsewhere, values[:2]))


def known_labels(
    store: StateStore, digests: Sequence[str], *, apart_from: str
) -> tuple[Label, ...]:
    """Return the distinct labels of contents with these digests, in any order.

    Contents that came from the address `apart_from` are left out: of them it is the origin.
    """
    sources = "SELECT 1 FROM labels WHERE source <> ? LIMIT 1"
    if not store.rows(sources, (apart_from,)):
        return ()
    texts: set[str] = set()
    for start in range(0, len(digests), _AT_ONCE):
        some = digests[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        sql = f"SELECT label FROM labels WHERE source <> ? AND sha256 IN ({marks})"  # noqa: S608
        texts.update(str(text) for (text,) in store.rows(sql, (apart_from, *some)))
    return tuple(msgspec.json.decode(text, type=Label) for text in sorted(texts))


def spent(store: StateStore) -> dict[str, str]:
    """Return the resource that used each decision, by the decision's text."""
    sql = "SELECT text, resource FROM spent_approvals"
    return {str(text): str(resource) for text, resource in store.rows(sql)}
