"""Names in a dataset's folder: of log entries, checkpoints, parts, history; and keys it refuses.

A key is the path that a file keeps in `files` format. It comes from a source, so it may be
anything that an object store allows.
"""

import re
import unicodedata
from collections.abc import Iterable

from batuta.connectors.alimentar.faults import fault
from batuta.model.diagnostic import Diagnostic

LOG = "_log/"
HISTORY = "_history/"
STAGING = "_staging/"
WORK = "work/"  # in it, what workers are writing, by transfer
RESERVED = frozenset({"_log", "_history", "_staging"})

_ENTRY = re.compile(r"_log/([0-9]{20})\.json")
_CHECKPOINT = re.compile(r"_log/([0-9]{20})\.checkpoint\.json")
_SEAL = re.compile(r"_log/([0-9]{20})\.sig")
_HISTORY = re.compile(r"_history/([0-9a-f]{16})/(.+)", re.DOTALL)
_PART = re.compile(r"part-[0-9a-f]{16}\.[a-z0-9]+")

# Limits of the common file systems; the path's leaves room for `_history/<16 hex>/` and a root.
_NAME_BYTES = 255
_PATH_BYTES = 3072


def entry_name(version: int) -> str:
    """Return the path of the entry of `version`: 20 digits, so that names sort as numbers."""
    return f"{LOG}{version:020d}.json"


def checkpoint_name(version: int) -> str:
    """Return the path of the checkpoint that folds the entries up to `version`."""
    return f"{LOG}{version:020d}.checkpoint.json"


def entry_version(path: str) -> int | None:
    """Return the version whose entry `path` is, None for any other file."""
    match = _ENTRY.fullmatch(path)
    return int(match[1]) if match else None


def checkpoint_version(path: str) -> int | None:
    """Return the version whose checkpoint `path` is, None for any other file."""
    match = _CHECKPOINT.fullmatch(path)
    return int(match[1]) if match else None


def seal_name(version: int) -> str:
    """Return the path of the signature of the entry of `version`."""
    return f"{LOG}{version:020d}.sig"


def seal_version(path: str) -> int | None:
    """Return the version whose signature `path` is, None for any other file."""
    match = _SEAL.fullmatch(path)
    return int(match[1]) if match else None


def part_name(part_id: str, suffix: str) -> str:
    """Return the path of an encoded part; `part_id` is 16 hex digits, `suffix` has no dot."""
    return f"part-{part_id}.{suffix}"


def is_part_name(path: str) -> bool:
    """True for names that stand for one content only, which keys do not."""
    return _PART.fullmatch(path) is not None


def history_name(path: str, sha256: str) -> str:
    """Return where the content `sha256` of `path` lies once it is superseded.

    It follows from the two alone, so that a reader finds it without asking anybody.
    """
    return f"{HISTORY}{sha256[:16]}/{path}"


def history_key(path: str) -> tuple[str, str] | None:
    """Return (part's path, first 16 hex of its digest) of a history file, None for others."""
    match = _HISTORY.fullmatch(path)
    return (match[2], match[1]) if match else None


def is_reserved(path: str) -> bool:
    """True for what lies in batuta's own folders, however the case is spelled."""
    return path.partition("/")[0].casefold() in RESERVED


def unsafe(path: str) -> str | None:
    """Return why `path` cannot be a file of a dataset, None where it can."""
    parts = path.split("/")
    if not path or "" in parts:
        return "it is empty, or has an empty part between slashes"
    if "." in parts or ".." in parts:
        return "it has `.` or `..` as a part, which would lead elsewhere"
    if "\0" in path:
        return "it holds a NUL character"
    if is_reserved(path):
        return "it lies in `_log`, `_history` or `_staging`, which are batuta's own"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    if max(sizes) > _NAME_BYTES or sum(sizes) + len(sizes) > _PATH_BYTES:
        return f"it is longer than {_NAME_BYTES} bytes a part or {_PATH_BYTES} bytes in all"
    return None


def check_keys(keys: Iterable[str], *, case_sensitive: bool = True) -> tuple[Diagnostic, ...]:
    """Return one diagnostic for each key that cannot be used beside the others, else nothing.

    Two keys clash where one is a folder of the other's path and, unless the file system tells
    case apart, where they differ in case or in the composition of letters only.
    """
    problems: list[Diagnostic] = []
    seen: dict[str, str] = {}
    for key in sorted(set(keys)):
        if (why := unsafe(key)) is not None:
            problems.append(fault("LOG111", f"{key!r} is refused: {why}."))
            continue
        spelling = key if case_sensitive else _folded(key)
        if (other := seen.setdefault(spelling, key)) != key:
            detail = f"{key!r} and {other!r} are one file where case does not count."
            problems.append(fault("LOG112", detail))
    problems += [
        fault("LOG112", f"{seen[folder]!r} is a file, and a folder in {key!r}.")
        for spelling, key in seen.items()
        for folder in folders_above(spelling)
        if folder in seen
    ]
    return tuple(problems)


def _folded(key: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).casefold())


def folders_above(path: str) -> Iterable[str]:
    """Yield the folders on the way to `path`, without slashes at their ends."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)
