"""`batuta import PATH`: files that are there become version 0 of a dataset that batuta owns.

They stay where they are, byte for byte; only the log is new. Their owner is `Imported`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from batuta.connectors.alimentar import names
from batuta.connectors.alimentar.faults import fault, refusal
from batuta.connectors.alimentar.hashing import hash_files
from batuta.connectors.alimentar.sealing import (
    drop_staged,
    place_seal,
    settle_seals,
    stage_seal,
)
from batuta.connectors.alimentar.unsettled import after_entry, append_surely
from batuta.model.canonical import digest
from batuta.model.connector import FileInfo, Files
from batuta.model.dataset import Told
from batuta.model.diagnostic import BatutaError, CommitConflict, Failure
from batuta.model.log import LogEntry, Part
from batuta.model.seal import Sign
from batuta.model.table import TableSchema

WORK = "import"
Describe = Callable[[str], TableSchema | None]


def adopt(
    files: Files,
    describe: Describe,
    draft: LogEntry,
    *,
    write: bool,
    told: Told,
    sign: Sign | None = None,
) -> tuple[Part, ...]:
    """Hash the files of the folder and return them as parts, in byte order of their paths.

    With `write` they are committed as version 0 of `draft`, whose schema is then the one that
    `describe` gives for each file (None for all: opaque files), and whose source version is
    the digest of what was found unless the draft says another. With `sign` the entry is signed,
    as those of commits are: before it is made.

    Raises:
        BatutaError: LOG111, LOG112: names that cannot be used, all of them; LOG151: nothing is
            there, a log is there already, or the files are no single table.
        ConnectorError: LOG152: files changed meanwhile; another try may help.
        CommitConflict: LOG106: somebody else imported the folder just now.
        CommitUnsettled: LOG114: version 0 is there; its signature could not be put beside it.
    """
    before = importable(files)
    schema = _one_schema(files, before, describe)
    parts = _hashed(files, before, told)
    if _listed(files) != before:
        detail = f"{files.location}: files came, went or changed while they were hashed."
        raise refusal("LOG152", detail, Failure.CHANGED)
    if write:
        found = digest([[part.path, part.sha256] for part in parts])
        facts = replace(
            draft.facts, schema=schema, source_version=draft.facts.source_version or found
        )
        entry = replace(
            draft, version=0, parent=None, owner="Imported", facts=facts, added=parts, removed=()
        )
        files.prepare()
        waiting = stage_seal(files, entry, WORK, sign)
        try:
            append_surely(files, None, entry)
        except CommitConflict:
            drop_staged(files, waiting)
            raise
        with after_entry(files, "version 0 is there"):
            place_seal(files, waiting)
            settle_seals(files)
    return parts


def _listed(files: Files) -> list[FileInfo]:
    return [info for info in files.list() if not info.path.startswith(names.STAGING)]


def importable(files: Files) -> list[FileInfo]:
    """Return the files that would be taken over.

    Raises:
        BatutaError: LOG111, LOG112, LOG151 as `adopt`.
    """
    listed = _listed(files)
    if not listed:
        raise BatutaError(fault("LOG151", f"{files.location} has no files."))
    reserved = {info.path.partition("/")[0] for info in listed} & names.RESERVED
    if reserved:
        detail = f"{files.location} has a folder {min(reserved)!r}, so it is a dataset already."
        raise BatutaError(fault("LOG151", detail))
    if problems := names.check_keys(info.path for info in listed):
        raise BatutaError(*problems)
    return listed


def _one_schema(files: Files, listed: Sequence[FileInfo], describe: Describe) -> TableSchema | None:
    first, *others = (info.path for info in listed)
    schema = describe(first)
    for path in others:
        if describe(path) != schema:
            detail = f"{files.location}: {path!r} has other columns than {first!r}."
            fix = "Import it with `format: files`, or move the files of another table elsewhere."
            raise BatutaError(fault("LOG151", detail, fix=fix))
    return schema


def _hashed(files: Files, listed: Sequence[FileInfo], told: Told) -> tuple[Part, ...]:
    parts = []
    for info, hashed in zip(
        listed, hash_files(files, [info.path for info in listed], told), strict=True
    ):
        if hashed is None or hashed.size_bytes != info.size_bytes:
            detail = f"{files.location}: {info.path!r} changed while it was hashed."
            raise refusal("LOG152", detail, Failure.CHANGED)
        parts.append(Part(path=info.path, size_bytes=info.size_bytes, sha256=hashed.sha256))
    return tuple(parts)
