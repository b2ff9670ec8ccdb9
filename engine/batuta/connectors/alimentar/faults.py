"""Every diagnostic of the log: one table of codes, so that each has one summary and one fix."""

import re
from collections.abc import Iterable
from dataclasses import replace

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure, Severity

VERIFY = "Run `batuta data verify DATASET` to see all that is wrong"

# code: (summary, the usual way out)
_TABLE: dict[str, tuple[str, str]] = {
    "LOG101": (
        "A log entry cannot be read",
        "Bring the file back from a copy; a log entry is never edited.",
    ),
    "LOG102": (
        "The log was written by a newer batuta",
        "Use the version of batuta that wrote it, or a newer one.",
    ),
    "LOG103": (
        "A log entry is missing",
        "Bring the file back from a copy; entries are never deleted.",
    ),
    "LOG104": (
        "The chain of log entries is broken",
        "Bring the named entry back from a copy. " + VERIFY + ".",
    ),
    "LOG105": (
        "A checkpoint disagrees with the log",
        "Delete the named checkpoint; the next commit writes a right one from the entries.",
    ),
    "LOG106": (
        "Another run committed first",
        "Plan again; the new plan starts from what the other run left.",
    ),
    "LOG107": (
        "Another run is writing files here",
        "Wait for it to end. If it is dead, any apply on its machine cleans up after it.",
    ),
    "LOG108": (
        "This run was taken for dead",
        "Plan again; another run has cleaned up the files that this one had published.",
    ),
    "LOG109": (
        "A log entry contradicts the entries before it",
        "Bring the entry back from a copy. " + VERIFY + ".",
    ),
    "LOG111": (
        "A file name cannot be used in a dataset",
        "Rename the file at its source, or leave it out with `files` in the manifest.",
    ),
    "LOG112": (
        "Two file names cannot lie side by side",
        "Rename one of the files at the source, or leave it out with `files` in the manifest.",
    ),
    "LOG113": (
        "A file is in the way",
        "Move the file away, or remove it, and apply again; batuta never overwrites it.",
    ),
    "LOG114": (
        "What comes after a commit failed",
        "Mend what is named below; the next command of any kind finishes it.",
    ),
    "LOG121": (
        "A part is missing",
        "Write it anew with `batuta apply --resync NAME`, or bring the files back from a copy.",
    ),
    "LOG122": (
        "A part has another size than the log says",
        "Write it anew with `batuta apply --resync NAME`, or bring the files back from a copy.",
    ),
    "LOG123": (
        "A part's content is not what was committed",
        "Write it anew with `batuta apply --resync NAME`, or bring the files back from a copy.",
    ),
    "LOG124": (
        "A file is not part of the dataset",
        "Nothing has to be done; batuta never reads, moves or deletes it.",
    ),
    "LOG131": (
        "The log may have been rolled back",
        "If this is wanted, run `batuta data verify DATASET --accept-head REASON`; "
        "else bring the log back from a copy.",
    ),
    "LOG132": (
        "Nothing outside the folder vouches for the newest entry",
        "Run it in the workspace whose state knows the dataset, so that a removed or "
        "rewritten newest entry is seen as well.",
    ),
    "LOG133": (
        "A log entry is not signed",
        "Find out who wrote it; `batuta label verify DATASET --sign-head` signs the head anew if it is yours.",
    ),
    "LOG134": (
        "The signature of a log entry does not fit",
        "The entry or its signature was edited: bring both back from a copy. " + VERIFY + ".",
    ),
    "LOG135": (
        "A log entry is signed with a key that is not trusted",
        "If the key is known to you, add it to the trust file: `batuta keys trust FILE`.",
    ),
    "LOG141": (
        "The dataset has no such version",
        "Choose one of the versions that `batuta data log DATASET` lists.",
    ),
    "LOG142": (
        "The rows cannot be read in this format",
        "Open the files themselves: they lie there as they came.",
    ),
    "LOG143": (
        "There is no dataset yet",
        "Apply the dataset that writes here first, or check the address.",
    ),
    "LOG151": (
        "The folder cannot be imported",
        "Choose a folder with files and without `_log`, `_history` or `_staging`.",
    ),
    "LOG152": (
        "Files changed while they were imported",
        "Import again when nothing writes into the folder.",
    ),
}


def fault(
    code: str, detail: str, *, severity: Severity = Severity.ERROR, fix: str = ""
) -> Diagnostic:
    """Return the diagnostic of `code`; `fix` replaces the usual way out."""
    summary, usual = _TABLE[code]
    return Diagnostic(
        code=code, summary=summary, detail=detail, fix=fix or usual, severity=severity
    )


def refusal(code: str, detail: str, kind: Failure = Failure.PERMANENT) -> ConnectorError:
    """Return the error of `code`, final unless `kind` says otherwise."""
    return ConnectorError(fault(code, detail), kind=kind)


def named(problems: Iterable[Diagnostic], resource: str) -> tuple[Diagnostic, ...]:
    """Return problems of one dataset with its name in the ways out that need it."""
    name = resource.partition("/")[2]
    return tuple(
        replace(each, fix=re.sub(r"(`batuta [^`]*)\b(?:NAME|DATASET)\b", rf"\g<1>{name}", each.fix))
        for each in problems
    )
