"""Checking a dataset: every entry of the log, every checkpoint, every byte of every part.

Without an anchor the newest entry is only as trustworthy as the folder: whoever can write
there can take it away. With one, a head that state remembers, that is seen too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from batuta.connectors.alimentar import names
from batuta.connectors.alimentar.entry import encode
from batuta.connectors.alimentar.faults import fault, named
from batuta.connectors.alimentar.fold import Fold, Logged, fold_leniently, to_checkpoint
from batuta.connectors.alimentar.hashing import hash_files
from batuta.connectors.alimentar.log import log_names, read_entry, rollback
from batuta.connectors.alimentar.place import by_path, place_of
from batuta.connectors.alimentar.sealing import SealReview
from batuta.model.connector import Files
from batuta.model.dataset import Told, Verification
from batuta.model.diagnostic import ConnectorError, Diagnostic, Severity
from batuta.model.log import Head, Part
from batuta.model.seal import CheckSeal


@dataclass
class _Chain:
    """What reading all entries gives: the parts now and ever, and what is wrong."""

    folded: Fold = field(default_factory=Fold)
    ever: dict[tuple[str, str], Part] = field(default_factory=dict)
    at_anchor: Head | None = None
    entries: int = 0
    resource: str = ""
    problems: list[Diagnostic] = field(default_factory=list)
    seals: SealReview | None = None


def verify(
    files: Files, anchor: Head | None, told: Told, check: CheckSeal | None = None
) -> Verification:
    """Check all that the log says and return what is wrong; nothing is changed.

    Current parts must be there, whole; parts in history must be what they were, though they
    may have expired. `anchor` is a head that something outside the folder remembers.
    """
    chain = _read_chain(files, anchor, check)
    listed = by_path(files.list())
    problems = chain.problems
    problems += _anchor_problems(files, anchor, chain)
    targets: dict[str, Part] = {}
    for part in chain.folded.parts.values():
        place = place_of(part, listed)
        if place is None:
            problems.append(_absent(files, part, listed.get(part.path)))
        else:
            targets[place] = part
    targets.update(_kept(listed, chain, problems))
    size = _hash(files, targets, told, problems)
    errors = any(problem.severity is Severity.ERROR for problem in problems)
    anchored = anchor is not None and chain.at_anchor == anchor and not errors
    return Verification(
        ok=not errors,
        anchored=anchored,
        problems=named(problems, chain.resource),
        entries=chain.entries,
        files=len(targets),
        size_bytes=size,
        signed=chain.seals.signed if chain.seals else 0,
    )


def _read_chain(files: Files, anchor: Head | None, check: CheckSeal | None) -> _Chain:
    chain = _Chain(seals=SealReview(files, check) if check else None)
    listed = log_names(files)
    checkpoints = set(listed.checkpoints)
    before: Head | None = None
    chain.problems += [
        fault("LOG103", f"{names.entry_name(gap)} is not there.") for gap in listed.gaps
    ]
    for version, logged in _entries(files, listed.entries, chain.problems):
        chain.entries += 1
        if logged is None:
            before = None
            continue
        after = before.version + 1 if before else None
        if before is not None and after == version and logged.entry.parent != before.digest:
            detail = (
                f"{names.entry_name(version - 1)} is not the one that {names.entry_name(version)} "
                "was written after: one of them was edited or exchanged."
            )
            chain.problems.append(fault("LOG104", detail))
        chain.folded, contradictions = fold_leniently(chain.folded, (logged,))
        chain.problems += contradictions
        chain.ever.update(((p.path, p.sha256[:16]), p) for p in logged.entry.added)
        before, chain.resource = logged.head, logged.entry.resource
        chain.problems += chain.seals.entry(logged) if chain.seals else []
        if anchor is not None and version == anchor.version:
            chain.at_anchor = logged.head
        if version in checkpoints:
            chain.problems += _checkpoint_problems(files, chain.folded, version)
            checkpoints.discard(version)
    chain.problems += [
        fault("LOG105", f"{names.checkpoint_name(version)} folds an entry that is not there.")
        for version in sorted(checkpoints)
    ]
    chain.problems += [
        fault("LOG103", f"{names.entry_name(version)} is not there any more, but its signature is.")
        for version in sorted(set(listed.seals) - set(listed.entries))
    ]
    chain.problems += chain.seals.notes() if chain.seals else []
    return chain


def _entries(
    files: Files, versions: tuple[int, ...], problems: list[Diagnostic]
) -> Iterator[tuple[int, Logged | None]]:
    for version in versions:
        try:
            yield version, read_entry(files, version)
        except ConnectorError as error:
            problems += error.diagnostics
            yield version, None


def _checkpoint_problems(files: Files, folded: Fold, version: int) -> list[Diagnostic]:
    name = names.checkpoint_name(version)
    try:
        same = files.read(name) == encode(to_checkpoint(folded))
    except FileNotFoundError:
        return []  # it is a short cut only; one that goes meanwhile does no harm
    if same:
        return []
    return [fault("LOG105", f"{name} is not what the entries up to {version} fold to.")]


def _anchor_problems(files: Files, anchor: Head | None, chain: _Chain) -> list[Diagnostic]:
    if anchor is None:
        detail = f"{files.location} was checked against itself: a newest entry that was removed "
        return [fault("LOG132", detail + "would not be missed.", severity=Severity.NOTE)]
    if chain.at_anchor == anchor:
        return []
    return [rollback(files.location, anchor, chain.at_anchor or chain.folded.head)]


def _absent(files: Files, part: Part, size: int | None) -> Diagnostic:
    if size is None:
        detail = f"{files.location}: {part.path} is neither there nor in history."
        return fault("LOG121", detail)
    detail = f"{files.location}: {part.path} has {size} bytes; the log says {part.size_bytes}."
    return fault("LOG122", detail)


def _kept(listed: dict[str, int], chain: _Chain, problems: list[Diagnostic]) -> dict[str, Part]:
    """Return the history files to hash; note wrong sizes and files of no commit."""
    targets = {}
    for path, size in listed.items():
        if not path.startswith(names.HISTORY):
            continue
        key = names.history_key(path)
        part = chain.ever.get(key) if key else None
        if part is None:
            detail = f"{path} is no version of any part."
            problems.append(fault("LOG124", detail, severity=Severity.NOTE))
        elif size != part.size_bytes:
            detail = f"{path} has {size} bytes; the log says {part.size_bytes}."
            problems.append(fault("LOG122", detail))
        else:
            targets[path] = part
    return targets


def _hash(files: Files, targets: dict[str, Part], told: Told, problems: list[Diagnostic]) -> int:
    """Hash the targets, note what differs, return the number of bytes read."""
    size = 0
    # Large ones first: the last to end is then a small one, and no processor waits for long.
    places = sorted(targets, key=lambda place: (-targets[place].size_bytes, place))
    for place, hashed in zip(places, hash_files(files, places, told), strict=True):
        part = targets[place]
        if hashed is None:
            problems.append(fault("LOG121", f"{place} went away while it was checked."))
            continue
        size += hashed.size_bytes
        if hashed.size_bytes != part.size_bytes:
            detail = f"{place} has {hashed.size_bytes} bytes; the log says {part.size_bytes}."
            problems.append(fault("LOG122", detail))
        elif hashed.sha256 != part.sha256:
            detail = f"{place} hashes to {hashed.sha256[:12]}; the log says {part.sha256[:12]}."
            problems.append(fault("LOG123", detail))
    return size
