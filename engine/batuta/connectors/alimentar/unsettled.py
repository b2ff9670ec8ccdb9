"""What fails at the entry or after it: not a commit that failed, but one that is to be finished."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batuta.connectors.alimentar.entry import encode
from batuta.connectors.alimentar.faults import fault
from batuta.connectors.alimentar.log import Log, append
from batuta.connectors.alimentar.names import entry_name
from batuta.model.connector import Files
from batuta.model.diagnostic import (
    BatutaError,
    CommitConflict,
    CommitUnsettled,
    ConnectorError,
    Diagnostic,
)
from batuta.model.log import LogEntry


def append_surely(
    files: Files, log: Log | None, entry: LogEntry, check: Callable[[], None] | None = None
) -> Log:
    """Do `log.append`; a refusal is handed on only where the entry is known not to be there.

    Raises:
        CommitConflict: LOG106, as `append`.
        CommitUnsettled: LOG114: it was refused after the entry was made, or nobody knows.
        ConnectorError: the entry is not there.
    """
    try:
        return append(files, log, entry, check)
    except CommitConflict:
        raise
    except ConnectorError as error:
        if (there := _is_there(files, entry)) is False:
            raise
        known = "is there" if there else "may be there"
        raise _unsettled(files, f"version {entry.version} {known}", error.diagnostics) from error


@contextmanager
def after_entry(files: Files, what: str) -> Iterator[None]:
    """Turn refusals of what comes after the entry into LOG114; `what` is there already."""
    try:
        yield
    except (CommitConflict, CommitUnsettled):
        raise
    except BatutaError as error:
        raise _unsettled(files, what, error.diagnostics) from error
    except OSError as error:
        raise _unsettled(files, f"{what} ({error})", ()) from error


def _is_there(files: Files, entry: LogEntry) -> bool | None:
    """Whether this very entry is there; None where that cannot be found out."""
    try:
        return files.read(entry_name(entry.version)) == encode(entry)
    except FileNotFoundError:
        return False
    except ConnectorError:
        return None


def _unsettled(files: Files, what: str, causes: tuple[Diagnostic, ...]) -> CommitUnsettled:
    detail = f"{files.location}: {what}; what comes after it was refused."
    return CommitUnsettled(fault("LOG114", detail), *causes)
