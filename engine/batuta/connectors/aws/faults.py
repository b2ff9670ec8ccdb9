"""What S3 may answer instead, each with its code. Addresses with signatures are never shown."""

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import unescape
from typing import NamedTuple

from batuta.model.diagnostic import ConnectorError, Diagnostic, Failure
from batuta.model.layout import LayoutError, Reason

SUMMARIES = {
    "AWS101": "No keys that the service accepts",
    "AWS102": "Access denied",
    "AWS103": "The bucket is not there",
    "AWS104": "Nothing is at the address",
    "AWS105": "Objects are archived",
    "AWS106": "The service asks for less",
    "AWS107": "The service cannot be reached or failed",
    "AWS108": "The keys have expired",
    "AWS109": "The object was replaced",
    "AWS110": "The service's answer was not understood",
    "AWS111": "An object is of no known format",
    "AWS112": "Objects of different formats",
    "AWS113": "The objects' columns do not unite",
    "AWS114": "Prefixes state no columns",
    "AWS115": "The pinned version is not there",
    "AWS116": "Rows cannot be chosen here",
    "AWS117": "No object to read a table from",
    "AWS118": "A key that is no file name",
    "AWS119": "Another object is in the way",
    "AWS120": "An option of the Platform is wrong",
    "AWS121": "The bucket is in another region",
    "AWS122": "The clock of this machine is off",
    "AWS123": "The prefix is a table of another format",
    "AWS124": "The way to the service is closed",
    "AWS125": "No host has that name",
    "AWS127": "Prefixes and objects state the same column",
    "AWS126": "A worker asked for another bucket than its own",
}

_FIXES = {
    "AWS101": "Set `credentials` of the Platform, or name a `profile` that works with `aws s3 ls`.",
    "AWS102": "Allow s3:ListBucket, s3:GetObject and, to write, s3:PutObject and s3:DeleteObject"
    " there; where the owner wants it, set `requesterPays: true`.",
    "AWS103": "Correct the bucket's name or the Platform's `endpoint`; batuta makes no buckets.",
    "AWS104": "Correct the address; a prefix ends in `/`.",
    "AWS105": "Restore them first (aws s3api restore-object), or leave them out with `files`.",
    "AWS106": "Wait and run it again: it goes on where it stopped.",
    "AWS107": "Check the endpoint and the network, then run it again.",
    "AWS108": "Sign in again (aws sso login), or renew the session token.",
    "AWS109": "Run `batuta plan` again; the new plan reads what is there now.",
    "AWS110": "Check that `endpoint` is an S3 service that knows this request.",
    "AWS111": 'Choose the table\'s objects with `files: ["*.parquet"]`, or set `format: files`.',
    "AWS112": 'Choose one format with `files: ["*.parquet"]`, or set `format: files`.',
    "AWS113": "Give text files their types with `source.schema`, exclude the column, or read the"
    " objects as two datasets.",
    "AWS114": "Give every object the same parts `name=value/` in its key, or none.",
    "AWS115": "Correct or remove `version`; a version id pins one object, not a prefix.",
    "AWS116": "Remove `where`, or read the objects through a platform that runs queries.",
    "AWS117": "Correct the address or `files`; names that begin with `_` or `.` are not read.",
    "AWS118": "Rename the object, or leave it out with `files`.",
    "AWS119": "Move that object away; batuta never overwrites what it did not write.",
    "AWS120": "Correct the option in the Platform's document.",
    "AWS121": "Set `region` of the Platform to the bucket's own.",
    "AWS123": "Read the table by its own address, or set `format: files` to copy it whole.",
    "AWS124": "Allow the host in the EgressPolicy that applies; `batuta egress log --refused` says"
    " what was refused, and why.",
    "AWS125": "Correct the Platform's `endpoint` or `region`, or the bucket's name where it is part of"
    " the host.",
    "AWS127": "Nothing has to be done: where an object has the column, its own is read, elsewhere the"
    " prefix's. Rename the prefixes if they mean something else.",
    "AWS126": "Nothing was sent. Look at what the source holds: what a worker reads may have taken over"
    " its reader.",
    "AWS122": "Set the machine's clock (timedatectl set-ntp true); signatures carry the time.",
}

_SPENT: dict[str, str] = {
    "budget.upload": "Raise `maxUpload` of the host in the EgressPolicy that applies, or leave it"
    " out; the heads of requests count as well.",
    "budget.bytes": "Raise `maxBytes` of the EgressPolicy that applies, or leave it out.",
}
_NO_NAME = "dns.nxdomain"
_NO_KEYS = "http.no_credential"

_REASONS: dict[Reason, str] = {
    "unknown-format": "AWS111",
    "mixed-formats": "AWS112",
    "no-files": "AWS117",
    "schemas": "AWS113",
    "constants": "AWS113",
    "other-log": "AWS123",
}

_CODES: dict[str, tuple[str, Failure]] = {
    "NoSuchBucket": ("AWS103", Failure.PERMANENT),
    "InvalidBucketName": ("AWS103", Failure.PERMANENT),
    "NoSuchKey": ("AWS104", Failure.PERMANENT),
    "NoSuchVersion": ("AWS115", Failure.PERMANENT),
    "AccessDenied": ("AWS102", Failure.AUTH),
    "AllAccessDisabled": ("AWS102", Failure.AUTH),
    "AccountProblem": ("AWS102", Failure.AUTH),
    "InvalidAccessKeyId": ("AWS101", Failure.AUTH),
    "SignatureDoesNotMatch": ("AWS101", Failure.AUTH),
    "InvalidToken": ("AWS101", Failure.AUTH),
    "ExpiredToken": ("AWS108", Failure.EXPIRED),
    "TokenRefreshRequired": ("AWS108", Failure.EXPIRED),
    "RequestTimeTooSkewed": ("AWS122", Failure.PERMANENT),
    "InvalidObjectState": ("AWS105", Failure.PERMANENT),
    "PreconditionFailed": ("AWS109", Failure.CHANGED),
    "SlowDown": ("AWS106", Failure.THROTTLED),
    "TooManyRequests": ("AWS106", Failure.THROTTLED),
    "RequestLimitExceeded": ("AWS106", Failure.THROTTLED),
    "Throttling": ("AWS106", Failure.THROTTLED),
    "ConditionalRequestConflict": ("AWS107", Failure.TRANSIENT),
    "OperationAborted": ("AWS107", Failure.TRANSIENT),
    "RequestTimeout": ("AWS107", Failure.TRANSIENT),
    "InternalError": ("AWS107", Failure.TRANSIENT),
    "PermanentRedirect": ("AWS121", Failure.PERMANENT),
    "IllegalLocationConstraintException": ("AWS121", Failure.PERMANENT),
}

_STATUSES: dict[int, tuple[str, Failure]] = {
    401: ("AWS101", Failure.AUTH),
    403: ("AWS102", Failure.AUTH),
    404: ("AWS104", Failure.PERMANENT),
    412: ("AWS109", Failure.CHANGED),
    429: ("AWS106", Failure.THROTTLED),
    503: ("AWS106", Failure.THROTTLED),
}

_ERROR = re.compile(rb"<Error>.*?<Code>([^<]{1,100})</Code>", re.DOTALL)
_MESSAGE = re.compile(rb"<Message>([^<]{1,500})</Message>")


class Said(NamedTuple):
    """An error document: its code and message, empty where there is none."""

    code: str
    message: str


def said(body: bytes) -> Said:
    """Return what an answer's body says went wrong; both are empty where it is no error."""
    start = body[:4096]
    code, message = _ERROR.search(start), _MESSAGE.search(start)
    if code is None:
        return Said("", "")
    text = unescape(message[1].decode("utf-8", "replace")) if message else ""
    return Said(code[1].decode("utf-8", "replace"), text)


def diagnostic(code: str, detail: str) -> Diagnostic:
    """Return the diagnostic of `code`."""
    return Diagnostic(code=code, summary=SUMMARIES[code], detail=detail, fix=_FIXES[code])


def failure(
    code: str, detail: str, kind: Failure = Failure.PERMANENT, *, retry_after_s: float = 0.0
) -> ConnectorError:
    """Return the error of `code`, ready to be raised."""
    return ConnectorError(diagnostic(code, detail), kind=kind, retry_after_s=retry_after_s)


def of_layout(error: LayoutError, address: str) -> ConnectorError:
    """Return what objects that make no table mean at `address`."""
    return failure(_REASONS[error.reason], f"{address}: {error.detail}")


def of_answer(what: str, status: int, body: bytes, retry_after: str | None) -> ConnectorError:
    """Return what a refusal means. `what` says what was asked of which object."""
    return of_error(what, status, said(body), retry_after)


def of_error(what: str, status: int, error: Said, retry_after: str | None) -> ConnectorError:
    """Return what a refusal means whose document was read already."""
    wait_s = min(float(retry_after), 300.0) if retry_after and retry_after.isdecimal() else 0.0
    detail = f"{what}: {status}{f' {error.code}' if error.code else ''}."
    if error.message:
        detail += f" The service says: {error.message.rstrip('.')}."
    if error.code == "AccessDenied" and "expired" in error.message.lower():
        return failure("AWS108", detail, Failure.EXPIRED)
    if (known := _CODES.get(error.code) or _STATUSES.get(status)) is not None:
        return failure(known[0], detail, known[1], retry_after_s=wait_s)
    if status >= 500:
        return failure("AWS107", detail, Failure.TRANSIENT, retry_after_s=wait_s)
    return failure("AWS110", detail)


class Refusal(NamedTuple):
    """What a library's exception says that the service answered."""

    status: int
    error: Said
    retry_after: str | None
    region: str | None


def refusal_of(exception: BaseException) -> Refusal | None:
    """Return the answer behind a library's exception; None where no answer came.

    The exception, or the one that it was raised from, keeps it as botocore does.
    """
    response = next(
        (found for each in _causes(exception) if (found := getattr(each, "response", None))), None
    )
    if not isinstance(response, Mapping):
        return None
    error, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    headers = meta.get("HTTPHeaders", {})
    code = str(error.get("Code", ""))
    # The answer to a HEAD has no document; its status stands in for the code there.
    document = Said("", "") if code.isdecimal() else Said(code, str(error.get("Message", "")))
    return Refusal(
        int(meta.get("HTTPStatusCode", 0)),
        document,
        headers.get("retry-after"),
        headers.get("x-amz-bucket-region") or error.get("Region"),
    )


def of_gateway(what: str, status: int, text: str) -> ConnectorError:
    """Return what the gateway means that answered in the service's place."""
    if status == 403:
        detail = f"{what}: the gateway refused it ({text})."
        found = diagnostic("AWS124", detail)
        fix = next((fix for code, fix in _SPENT.items() if code in text), found.fix)
        return ConnectorError(replace(found, fix=fix), kind=Failure.PERMANENT)
    if _NO_KEYS in text:
        detail = f"{what}: the keys could not be had; `batuta egress log` says why."
        return failure("AWS108", detail, Failure.AUTH)
    if _NO_NAME in text:
        return failure("AWS125", f"{what}: the name of its host does not resolve.")
    return failure("AWS107", f"{what}: the gateway got no answer ({text}).", Failure.TRANSIENT)


def of_exception(what: str, exception: BaseException) -> ConnectorError:
    """Return what an exception of a library means."""
    causes = list(_causes(exception))
    if (
        own := next((each for each in causes if isinstance(each, ConnectorError)), None)
    ) is not None:
        return own
    if (verdict := _verdict(exception)) is not None:
        return of_gateway(what, *verdict)
    if (refusal := refusal_of(exception)) is not None:
        return of_error(what, refusal.status, refusal.error, refusal.retry_after)
    why = f"{what}: {str(exception).rstrip('.') or type(exception).__name__}."
    if isinstance(exception, FileNotFoundError):
        return failure("AWS104", why)
    final = _is_of_certificate(exception)
    return failure("AWS107", why, Failure.PERMANENT if final else Failure.TRANSIENT)


def _verdict(exception: BaseException | None) -> tuple[int, str] | None:
    """Return what the gateway answered in the service's place, None where it did not.

    To a CONNECT that is an exception of the HTTP client, to a plain request an answer.
    """
    while exception is not None:
        if type(exception).__name__ == "ClientHttpProxyError":
            return getattr(exception, "status", 0), str(getattr(exception, "message", ""))
        response = getattr(exception, "response", None)
        if isinstance(response, Mapping):
            meta = response.get("ResponseMetadata", {})
            text = meta.get("HTTPHeaders", {}).get("x-batuta-verdict")
            if text is not None:
                return int(meta.get("HTTPStatusCode", 0)), str(text)
        exception = exception.__cause__ or exception.__context__
    return None


def _is_of_certificate(exception: BaseException | None) -> bool:
    # The library raises its own exceptions while it handles this one, not from it.
    while exception is not None and not isinstance(exception, ssl.SSLCertVerificationError):
        exception = exception.__cause__ or exception.__context__
    return exception is not None


def _causes(exception: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from."""
    each: BaseException | None = exception
    while each is not None:
        yield each
        each = each.__cause__
