"""Signatures beside the entries of a log: staged before the commit, put in place after it.

A signature is made while the entry is still in memory and staged first, so that after a death
at any point the one that was made is put in its place; nothing that lies in the folder is ever
signed because it lies there.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from batuta.connectors.alimentar.entry import digest_of, encode
from batuta.connectors.alimentar.faults import fault
from batuta.connectors.alimentar.fold import Logged
from batuta.connectors.alimentar.log import Log, open_log, read_entry
from batuta.connectors.alimentar.names import STAGING, entry_name, seal_name
from batuta.model.connector import Files
from batuta.model.diagnostic import ConnectorError, Diagnostic, Severity
from batuta.model.log import Head, LogEntry
from batuta.model.seal import CheckSeal, SealFinding, Sign

_STAGED = re.compile(r"_staging/([^/]+)~([0-9]{20})~([0-9a-f]{64})\.sig")
# A signature with its statement takes about a kilobyte.
_MOST_BYTES = 1 << 20


def staged_name(work: str, head: Head) -> str:
    """Return where the signature of `head` waits for its entry; `work` is the run's."""
    return f"{STAGING}{work}~{head.version:020d}~{head.digest}.sig"


def work_of_staged(path: str) -> str | None:
    """Return the work that a staged signature belongs to, None for any other file."""
    match = _STAGED.fullmatch(path)
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Staged:
    """A signature that waits for its entry at `path`."""

    path: str
    version: int
    content: bytes


def stage_seal(files: Files, entry: LogEntry, work: str, sign: Sign | None) -> Staged | None:
    """Sign an entry that is about to be created, and make the signature durable beside the work."""
    if sign is None:
        return None
    head = Head(entry.version, digest_of(encode(entry)))
    waiting = Staged(staged_name(work, head), head.version, sign(head, entry))
    _put(files, waiting.path, waiting.content)
    return waiting


def place_seal(files: Files, waiting: Staged | None) -> None:
    """Put the signature beside its entry, which is there now."""
    if waiting is not None:
        place(files, waiting.version, waiting.content)
        drop_staged(files, waiting)


def drop_staged(files: Files, waiting: Staged | None) -> None:
    """Clear the waiting signature away."""
    if waiting is not None:
        files.delete([waiting.path])


def place(files: Files, version: int, content: bytes) -> None:
    """Put the signature beside its entry; what anybody else left there is replaced."""
    _put(files, seal_name(version), content)


def read_seal(files: Files, version: int) -> bytes | None:
    """Return the signature of an entry, None where there is none; one far too large is cut."""
    try:
        return files.read(seal_name(version), _MOST_BYTES)
    except FileNotFoundError:
        return None


def place_staged(files: Files, staged: Iterable[str], log: Log | None) -> list[str]:
    """Put staged signatures of entries that were committed in their places; say so.

    The digest in a staged name is that of the entry it was made for: it fits that one alone.
    """
    done: list[str] = []
    for path in staged:
        match = _STAGED.fullmatch(path)
        if match is None or log is None or log.head.version < int(match[2]):
            continue
        version = int(match[2])
        try:
            if read_entry(files, version).head.digest != match[3]:
                continue
            content = files.read(path)
        except (ConnectorError, FileNotFoundError):
            continue
        if read_seal(files, version) != content:
            place(files, version, content)
            done.append(f"Put the signature of version {version} in its place.")
    return done


def settle_seals(files: Files) -> tuple[str, ...]:
    """Put signatures that wait in staging beside their entries, and clear away useless ones.

    Nothing else is touched, so that this is safe beside runs that are alive. Returns one sentence
    for each that was put in its place.
    """
    staged = [i.path for i in files.list(STAGING, recursive=False) if _STAGED.fullmatch(i.path)]
    if not staged or (log := open_log(files)) is None:
        return ()
    done = place_staged(files, staged, log)
    # Of a version that is there each one is in its place now, or that of a try that was lost.
    versions = {path: int(match[2]) for path in staged if (match := _STAGED.fullmatch(path))}
    files.delete([path for path, version in versions.items() if version <= log.head.version])
    return tuple(done)


def _put(files: Files, path: str, content: bytes) -> None:
    try:
        files.create(path, content)
    except FileExistsError:
        if files.read(path) != content:
            files.delete([path])
            files.create(path, content)


@dataclass
class SealReview:
    """Judges the signatures of a log from its first entry to its head."""

    files: Files
    check: CheckSeal
    signed: int = 0
    unsigned: int = 0

    def entry(self, logged: Logged) -> list[Diagnostic]:
        """Return what is wrong with one entry's signature; entries come in order.

        Entries before the first signed one may be older than the key. Behind a signed one an
        unsigned entry is always a fault: nobody with the key wrote it.
        """
        content = read_seal(self.files, logged.head.version)
        finding = self.check(logged.head, logged.entry, content)
        if finding.state == "good":
            self.signed += 1
            return []
        if finding.state == "absent" and not finding.required and not self.signed:
            self.unsigned += 1
            return []
        return [seal_fault(self.files, logged.head, finding)]

    def notes(self) -> list[Diagnostic]:
        """Return what is worth saying at the end: that nothing signed vouches for the log yet.

        A signed entry names the ones before it, so from then on how many are signed says it all.
        """
        if not self.unsigned or self.signed:
            return []
        what = "entries carry" if self.unsigned > 1 else "entry carries"
        detail = (
            f"{self.files.location}: {self.unsigned} {what} no signature, from before there was a"
            " key, and none behind them vouches for them yet. The next commit will, or now:"
            f" `{_signing(self.files)}`."
        )
        return [unsigned(self.files, detail, Severity.NOTE)]


def head_problem(files: Files, log: Log, check: CheckSeal) -> Diagnostic | None:
    """Return what is wrong with the signature of the head; None where it may stand."""
    finding = check(log.head, log.entry, read_seal(files, log.head.version))
    absent = finding.state == "absent" and not finding.required
    return None if finding.state == "good" or absent else seal_fault(files, log.head, finding)


def seal_fault(files: Files, head: Head, finding: SealFinding) -> Diagnostic:
    """Word a finding that is not good."""
    detail = f"{files.location}: {entry_name(head.version)}: {finding.detail}"
    if finding.state == "absent":
        return unsigned(files, detail)
    if finding.state != "broken":
        return fault("LOG135", detail)
    look = shlex.join(["batuta", "data", "verify", files.location])
    fix = (
        "The entry or its signature was edited: bring both back from a copy."
        f" Run `{look}` to see all that is wrong."
    )
    return fault("LOG134", detail, fix=fix)


def unsigned(files: Files, detail: str, severity: Severity = Severity.ERROR) -> Diagnostic:
    """Return LOG133 with the command that signs the head of this very dataset."""
    fix = (
        "Find out who wrote it. If `label verify` finds all else in order and it is yours,"
        f" sign the head anew: `{_signing(files)}`."
    )
    return fault("LOG133", detail, severity=severity, fix=fix)


def _signing(files: Files) -> str:
    return shlex.join(["batuta", "label", "verify", files.location, "--sign-head"])
