"""Deleting a dataset: the last entry says so first, then everything that the log names goes.

That entry is the fence: it is made only on the head that the deletion was planned for, and a
commit that was planned for that head too fails from then on. Its file is the last one to go, so
that a deletion that was cut short is known for what it is, and can be finished by anybody.
"""

from batuta.connectors.alimentar import names
from batuta.connectors.alimentar.commit import commit
from batuta.connectors.alimentar.log import log_names, open_log, read_entry
from batuta.connectors.alimentar.unsettled import after_entry
from batuta.model.connector import Files
from batuta.model.diagnostic import ConnectorError
from batuta.model.log import Head, LogEntry, Snapshot
from batuta.model.seal import Sign

ACTION = "delete"


def announced(files: Files) -> Snapshot | None:
    """Return the newest entry where it is a deletion that has begun, else None.

    The parts are those that may still be there: none where older entries are gone already.
    """
    versions = log_names(files).entries
    if not versions:
        return None
    try:
        logged = read_entry(files, versions[-1])
    except ConnectorError:
        return None
    if logged.entry.action != ACTION:
        return None
    try:
        log = open_log(files)
    except ConnectorError:
        log = None  # entries go after all parts are gone
    parts = tuple(log.folded.parts.values()) if log is not None else ()
    return Snapshot(head=logged.head, entry=logged.entry, parts=parts)


def delete(files: Files, draft: LogEntry, base: Head, *, sign: Sign | None = None) -> None:
    """Commit `draft`, which says that the dataset ends, then delete parts, history and log.

    Where the head is such an entry already and is `base`, what is left of that deletion goes.
    Files that the log does not name stay.

    Raises:
        CommitConflict: LOG106: another run committed after `base`; nothing was deleted.
        CommitUnsettled: LOG114: the entry is there, and the store refused a deletion.
        ConnectorError: as `commit.commit`.
    """
    found = announced(files)
    if found is None or found.head != base:
        commit(files, open_log(files), draft, base, sign=sign)
        found = announced(files)
        assert found is not None
    with after_entry(files, f"version {found.head.version} says that the dataset is deleted"):
        _clear(files, found)


def _clear(files: Files, found: Snapshot) -> None:
    """Delete all that the log names; the entry of the deletion is the last to go."""
    listed = [info.path for info in files.list()]
    last = names.entry_name(found.head.version)
    files.delete(sorted(part.path for part in found.parts))
    files.delete([p for p in listed if names.history_key(p) is not None])
    files.delete([p for p in listed if p.startswith(names.STAGING)])
    files.delete([p for p in listed if names.checkpoint_version(p) is not None])
    files.delete([p for p in listed if names.seal_version(p) is not None])
    files.delete([p for p in listed if names.entry_version(p) is not None and p != last])
    files.delete([last])
