"""What can go wrong between an address and a staging file, as diagnostics of the mover.

Details name the object and the host, never the address itself: a signed URL is a secret.
"""

import errno
import re
from email.utils import parsedate_to_datetime

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.runtime import clock

SUMMARIES = {
    "WRK101": "The source changed",
    "WRK102": "The object is gone",
    "WRK103": "The address has expired",
    "WRK104": "The server refused access",
    "WRK105": "The server asks for less",
    "WRK106": "The connection broke",
    "WRK107": "A redirect was refused",
    "WRK108": "The server's answer cannot be used",
    "WRK109": "The staging folder cannot be written",
    "WRK110": "An address of an unknown kind",
    "WRK111": "The server failed",
    "WRK112": "The server's certificate was not accepted",
    "WRK113": "The object is archived",
    "WRK114": "The gateway refused",
    "WRK115": "No host has that name",
}

FIXES = {
    "WRK101": "Run `batuta plan` again; the new plan reads the source as it is now.",
    "WRK102": "Run `batuta plan` again; the new plan no longer names the object.",
    "WRK103": "Run the command again; addresses are signed anew.",
    "WRK104": "Check that the credentials of the Platform may read and write there.",
    "WRK105": "Wait and run the command again: it goes on where it stopped.",
    "WRK106": "Check the network, then run the command again; what is safe is not read twice.",
    "WRK107": "Name the endpoint that really holds the data in the Platform's options.",
    "WRK108": "Check that the endpoint is the storage service itself, not a gateway before it.",
    "WRK109": "Make room, or give this user the right to write there, and run it again.",
    "WRK110": "Use an address that starts with file:///, https:// or http://.",
    "WRK111": "Wait a moment and run the command again.",
    "WRK112": "Add the authority to the system's trusted certificates, or correct the endpoint.",
    "WRK113": "Restore the object at its platform first, or leave it out with `files`.",
    "WRK114": "If the host belongs to this dataset, allow it in the EgressPolicy that applies.",
    "WRK115": "Correct the host in the address or in the Platform's endpoint.",
}

MAX_RETRY_AFTER_S = 300.0
_EXPIRED = re.compile(
    rb"ExpiredToken|[Rr]equest has expired|TokenRefreshRequired|Signature not valid"
)
_ARCHIVED = re.compile(rb"InvalidObjectState|BlobArchived")
_THROTTLE_CODES = re.compile(rb"SlowDown|Throttl|TooManyRequests|RequestLimitExceeded|ServerBusy")


def failure(code: str, detail: str, kind: Failure, *, retry_after_s: float = 0.0) -> ConnectorError:
    """Return the error of `code` with `detail`, ready to be raised."""
    diagnostic = Diagnostic(code=code, summary=SUMMARIES[code], detail=detail, fix=FIXES[code])
    return ConnectorError(diagnostic, kind=kind, retry_after_s=retry_after_s)


def not_let_out(host: str, said: str) -> ConnectorError:
    """The gateway does not let this worker reach `host`; another try would be refused too."""
    return failure("WRK114", f"The way to {host} is closed: {said}.", Failure.PERMANENT)


def unknown_host(host: str) -> ConnectorError:
    """The resolver says that there is no `host`, which is a mistyped name more often than not."""
    return failure("WRK115", f"The name of {host} does not resolve.", Failure.PERMANENT)


def changed(key: str, how: str) -> ConnectorError:
    """The object at hand is not the one that was planned."""
    return failure("WRK101", f"`{key}` {how}.", Failure.CHANGED)


def broken(key: str, host: str, why: str) -> ConnectorError:
    """The connection ended before the answer did."""
    return failure("WRK106", f"While moving `{key}`, {host}: {why}.", Failure.TRANSIENT)


def unusable(key: str, host: str, why: str) -> ConnectorError:
    """The answer breaks the protocol in a way that no retry mends."""
    return failure("WRK108", f"For `{key}`, {host} {why}.", Failure.PERMANENT)


def unwritable(path: str, error: OSError) -> ConnectorError:
    """A staging file refused; a full disk says so by name."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    why = "the disk is full" if full else (error.strerror or str(error))
    return failure("WRK109", f"Writing {path}: {why}.", Failure.PERMANENT)


def shortened(name: str) -> ConnectorError:
    """A staging file holds less than was recorded of it."""
    return failure("WRK109", f"{name} is shorter than was recorded.", Failure.PERMANENT)


def retry_after_s(value: bytes | None) -> float:
    """Return the seconds that a Retry-After header asks for, 0 to 300; 0 where it says nothing."""
    if value is None:
        return 0.0
    text = value.strip().decode("latin-1")
    if text.isdecimal():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        return 0.0
    return min(max(moment.timestamp() - clock.wall_s(), 0.0), MAX_RETRY_AFTER_S)


def refusal(
    key: str, host: str, status: int, body: bytes, retry_after: bytes | None
) -> ConnectorError:
    """Return what an answer other than success means; `body` is the start of it."""
    said = f"{host} answered {status} for `{key}`"
    match status:
        case 403 | 409 if _ARCHIVED.search(body):
            return failure("WRK113", f"{said}.", Failure.PERMANENT)
        case 412 | 409:
            return changed(key, "was replaced since the plan was made")
        case 404 | 410:
            return failure("WRK102", f"{said}.", Failure.CHANGED)
        case 301 | 302 | 303 | 307 | 308:
            detail = f"{said}: it points elsewhere, and only planned hosts are asked."
            return failure("WRK107", detail, Failure.PERMANENT)
        case 400 | 401 | 403 if _EXPIRED.search(body):
            return failure("WRK103", f"{said}: the signature's time is over.", Failure.EXPIRED)
        case 401 | 403:
            return failure("WRK104", f"{said}.", Failure.AUTH)
        case _:
            return _busy_or_broken(said, status, body, retry_after)


def _busy_or_broken(
    said: str, status: int, body: bytes, retry_after: bytes | None
) -> ConnectorError:
    wait_s = retry_after_s(retry_after)
    if status in {429, 503} or _THROTTLE_CODES.search(body):
        return failure("WRK105", f"{said}.", Failure.THROTTLED, retry_after_s=wait_s)
    if status >= 500 or status in {408, 425}:
        return failure("WRK111", f"{said}.", Failure.TRANSIENT, retry_after_s=wait_s)
    return failure("WRK108", f"{said}.", Failure.PERMANENT)
