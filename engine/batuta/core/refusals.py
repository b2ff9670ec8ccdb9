"""Diagnostics for what cannot be done as things are. Each says why, and the way out."""

import shlex

from batuta.core.case import Case
from batuta.core.plan_input import HeadRelation
from batuta.model.diagnostic import Diagnostic, Location, Severity
from batuta.model.observed import DestinationState
from batuta.model.resource import Dataset, Origin


def foreign(address: str, destination: str, state: DestinationState) -> Diagnostic:
    """The destination holds files and no log."""
    shown = ", ".join(state.strangers[:3])
    return Diagnostic(
        code="PLN101",
        summary="The destination holds files that batuta did not write",
        detail=f"{destination} is not empty and has no log"
        f"{f' (it holds {shown})' if shown else ''}; batuta changes only what it made or adopted.",
        fix=f"Adopt the files with `batuta import {destination}`, or name an empty destination.",
        address=address,
    )


def resync_of(address: str, *, typed: bool) -> str:
    """Return how to read one dataset anew; a one-line command is typed again."""
    if typed:
        return "typing the command again with `--resync`"
    return f"`batuta apply --resync {address.partition('/')[2]}`"


def damaged(
    address: str, destination: str, state: DestinationState, *, typed: bool = False
) -> Diagnostic:
    """Files that the log names are missing or changed, or the log cannot be read."""
    first = f": {state.problems[0].detail}" if state.problems else "."
    more = f" And {len(state.problems) - 1} more." if len(state.problems) > 1 else ""
    way = (
        f"Look with `batuta data verify {destination}`, then read the source anew by"
        f" {resync_of(address, typed=typed)}."
        if state.snapshot is not None
        else f"Look with `batuta data verify {destination}` and restore `_log/` from a copy;"
        f" without one, move {destination} away and make it anew by"
        f" {resync_of(address, typed=typed)}."
    )
    return Diagnostic(
        code="DRF105",
        summary="The files at the destination are not those that the log names",
        detail=f"{destination} changed outside batuta{first}{more}",
        fix=way,
        address=address,
    )


def gone(dataset: Dataset) -> Diagnostic:
    """The state knows a dataset and nothing is left of it."""
    typed = dataset.origin is Origin.COMMAND
    return Diagnostic(
        code="DRF106",
        summary="A recorded dataset is no longer there",
        detail=f"The state records {dataset.address} at {dataset.destination}, and nothing is"
        " there now.",
        fix=f"Restore the folder, or make it anew by {resync_of(dataset.address, typed=typed)},"
        f" or forget it with `batuta release {dataset.destination if typed else dataset.name}`.",
        locations=dataset.place("spec.destination"),
        address=dataset.address,
    )


def rollback(address: str, destination: str, head: HeadRelation) -> Diagnostic:
    """The log's head is not the recorded one nor younger than it."""
    what = "older than" if head == "older" else "no descendant of"
    return Diagnostic(
        code="DRF107",
        summary="The destination's log may have been rolled back",
        detail=f"The head of the log at {destination} is {what} the head that the state records"
        f" for {address}.",
        fix=f"If that was meant, record why with `batuta data verify {destination}"
        " --accept-head REASON`.",
        address=address,
    )


def other_resource(dataset: Dataset, owner: str) -> Diagnostic:
    """The dataset there belongs to another resource."""
    other = "Name another destination."
    if dataset.origin is not Origin.COMMAND:
        moved = f"`batuta state mv {owner} {dataset.address}`"
        other = f"If {dataset.name} is its new name: {moved}. Otherwise name another destination."
    there = str(dataset.destination)
    copy = shlex.join(["batuta", "data", "sync", there, f"{there.rstrip('/')}-own/"])
    return Diagnostic(
        code="PLN102",
        summary="The dataset at the destination belongs to another resource",
        detail=f"The log at {dataset.destination} belongs to {owner}, not to {dataset.address}.",
        # To release the owner would unhook the original where this is a copy of its folder.
        fix=f"{other} If this is a folder that was copied with its log, a copy that batuta makes is"
        f" a dataset of its own: `{copy}`; name that one.",
        locations=dataset.place("spec.destination"),
        address=dataset.address,
    )


def not_its_own(address: str, destination: str, owner: str) -> Diagnostic:
    """A resource that is given up finds another one's log at its destination."""
    return Diagnostic(
        code="PLN102",
        summary="The dataset at the destination belongs to another resource",
        detail=f"The log at {destination} belongs to {owner}, not to {address}.",
        fix=f"Forget it with `batuta release {address.partition('/')[2]}`; the data stays.",
        address=address,
    )


def document_stays(dataset: Dataset, becomes: str) -> Diagnostic:
    """What is given up by a command is still asked for by its document."""
    return Diagnostic(
        code="PLN120",
        summary="The document of the dataset is still there",
        detail=f"{dataset.address} stands in the manifests; the next plan shows it to be {becomes}.",
        fix="Remove the document as well, if that is meant.",
        severity=Severity.NOTE,
        locations=dataset.place("metadata.name"),
        address=dataset.address,
    )


def shared_destination(dataset: Dataset, other: str) -> Diagnostic:
    """Two datasets would write to one folder, or one inside the other."""
    return Diagnostic(
        code="PLN113",
        summary="Two datasets have one destination",
        detail=f"{dataset.address} and {other} would both write to {dataset.destination}, or one"
        " inside the other's folder.",
        fix="Give each dataset a folder of its own.",
        locations=dataset.place("spec.destination"),
        address=dataset.address,
    )


def overlapping(dataset: Dataset, source: str) -> Diagnostic:
    """What is read and what is written lie in one another."""
    return Diagnostic(
        code="PLN128",
        summary="Source and destination lie in one another",
        detail=f"{dataset.address} reads {source} and writes {dataset.destination}, and one is the"
        " other or lies in it: each run would read what the one before wrote.",
        fix=f"Name a destination outside {source}, which is not around it either.",
        locations=dataset.place("spec.destination"),
        address=dataset.address,
    )


def twice(dataset: Dataset, source: str) -> Diagnostic:
    """A merge reads the same rows of one place two times."""
    return Diagnostic(
        code="PLN144",
        summary="A merge reads one dataset twice",
        detail=f"{dataset.address} merges {source} with itself: each of its rows would be there"
        " twice.",
        fix="Name another dataset, or leave one of the two out.",
        locations=dataset.place("spec.source"),
        address=dataset.address,
    )


def not_imported(address: str, destination: str) -> Diagnostic:
    """Adopted data is never deleted."""
    return Diagnostic(
        code="PLN112",
        summary="batuta does not delete what it did not make",
        detail=f"The data of {address} at {destination} was there before batuta and was adopted.",
        fix=f"Forget it with `batuta release {address.partition('/')[2]}` and delete the files by"
        " the means that made them.",
        address=address,
    )


def protected(address: str, locations: tuple[Location, ...] = ()) -> Diagnostic:
    """The log protects the dataset."""
    return Diagnostic(
        code="DRF109",
        summary="The dataset is protected from losing data",
        detail=f"The log of {address} says `protect: true`; the protection survives its document.",
        fix="First apply a change to `protect: false` on its own, then plan again.",
        locations=locations,
        address=address,
    )


def loses(case: Case, why: str) -> Diagnostic:
    """Rows, columns, precision or history would go without anyone having chosen that."""
    dataset = case.dataset
    return Diagnostic(
        code="DRF108",
        summary="Data would be lost",
        detail=f"{dataset.address}: {why}",
        fix=f"If that is meant: `--allow-data-loss {dataset.address}`.",
        locations=dataset.place("spec"),
        address=dataset.address,
    )


def not_incremental(dataset: Dataset) -> Diagnostic:
    """Neither units, a change feed nor cursor and key."""
    return Diagnostic(
        code="PLN103",
        summary="The source cannot be followed incrementally",
        detail=f"{dataset.address} is Incremental; its source lists no files or versions that"
        " could be compared, and `incremental` does not name both a cursor and a key.",
        fix="Set `incremental: {cursor: COLUMN, key: [COLUMN]}`, or `mode: Snapshot`.",
        locations=dataset.place("spec.incremental") or dataset.place("spec.mode"),
        address=dataset.address,
    )


def no_merge_column(dataset: Dataset, missing: list[str]) -> Diagnostic:
    """A cursor or key column is not in the output."""
    return Diagnostic(
        code="PLN104",
        summary="A cursor or key column is not among the columns",
        detail=f"`incremental` of {dataset.address} names {', '.join(map(repr, missing))}, which"
        " the dataset does not have after `columns`, or the source has no more.",
        fix="Name columns of the output that the source has, or include them.",
        locations=dataset.place("spec.incremental"),
        address=dataset.address,
    )


def unfit_merge_column(dataset: Dataset, why: str) -> Diagnostic:
    """A cursor or key column is of a type that cannot be one."""
    return Diagnostic(
        code="PLN106",
        summary="A cursor or key column is of an unfit type",
        detail=f"In `incremental` of {dataset.address}, {why}.",
        fix="Name another column, or leave `lookback` out where the cursor is no time.",
        locations=dataset.place("spec.incremental"),
        address=dataset.address,
    )


def hidden_deletes(dataset: Dataset) -> Diagnostic:
    """Rows that vanish at the source are not seen."""
    return Diagnostic(
        code="PLN105",
        summary="Deletes at the source are not seen",
        detail=f"{dataset.address} follows its source by its cursor; rows that are deleted there"
        " stay here, and rows that come with an older cursor than `lookback` allows are not seen.",
        fix="From time to time read everything by"
        f" {resync_of(dataset.address, typed=dataset.origin is Origin.COMMAND)}.",
        severity=Severity.WARNING,
        locations=dataset.place("spec.mode"),
        address=dataset.address,
    )


def wrong_kind(dataset: Dataset, kind: str) -> Diagnostic:
    """A format for tables over files, or the other way round."""
    return Diagnostic(
        code="PLN118",
        summary="The format does not fit the source",
        detail=f"{dataset.address} asks for the format {dataset.format}; its source is a"
        f" {'set of opaque files' if kind == 'files' else 'table'}.",
        fix="Use `format: files` to mirror files byte for byte, or a table format for tables.",
        locations=dataset.place("spec.format"),
        address=dataset.address,
    )


def unwritable(dataset: Dataset, formats: list[str]) -> Diagnostic:
    """No installed format of that name can be written."""
    return Diagnostic(
        code="PLN119",
        summary="The format cannot be written",
        detail=f"{dataset.address} asks for the format {dataset.format!r}, which is not among"
        f" those that can be written here: {', '.join(formats) or 'none'}.",
        fix="Choose one of them.",
        locations=dataset.place("spec.format"),
        address=dataset.address,
    )


def waits(dataset: Dataset, upstream: str) -> Diagnostic:
    """What it reads is only made in this plan."""
    return Diagnostic(
        code="PLN110",
        summary="A dataset waits for another one",
        detail=f"{dataset.address} reads Dataset/{upstream}, which this plan makes first.",
        fix="Apply this plan, then plan again.",
        severity=Severity.WARNING,
        locations=dataset.place("spec.source"),
        address=dataset.address,
    )


def upstream_changes(dataset: Dataset, upstream: str) -> Diagnostic:
    """What it reads changes in this plan."""
    return Diagnostic(
        code="PLN111",
        summary="A dataset is planned against the current version of what it reads",
        detail=f"{dataset.address} reads Dataset/{upstream}, which this plan changes; the change"
        " reaches it with the next plan.",
        fix="Apply this plan, then plan again.",
        severity=Severity.NOTE,
        locations=dataset.place("spec.source"),
        address=dataset.address,
    )


def not_read(address: str, locations: tuple[Location, ...] = ()) -> Diagnostic:
    """An offline plan cannot say what is there."""
    return Diagnostic(
        code="PLN116",
        summary="The platforms were not read",
        detail=f"What {address} needs depends on its ends, and this plan did not read them.",
        fix="Plan with `--refresh=full`.",
        locations=locations,
        address=address,
    )


def kept_label(dataset: Dataset, kept: str, new: str) -> Diagnostic:
    """Rows that stay carry a label that the tier does not admit together with the new one."""
    return Diagnostic(
        code="SOV110",
        summary="Rows that stay carry another label",
        detail=f"{dataset.address} keeps rows labelled {kept} beside rows labelled {new}; the"
        " tier does not admit both together.",
        fix="Read everything anew by"
        f" {resync_of(dataset.address, typed=dataset.origin is Origin.COMMAND)}.",
        locations=dataset.place("spec.tier"),
        address=dataset.address,
    )
