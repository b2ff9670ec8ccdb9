"""Ends that lie in one another: such a dataset would read what it writes, and grow with each run."""

from collections.abc import Sequence
from dataclasses import replace

from batuta.core.case import World
from batuta.core.refusals import overlapping, twice
from batuta.core.selection import source_text
from batuta.core.uniting import source_name
from batuta.model.address import Address
from batuta.model.diagnostic import Diagnostic
from batuta.model.resource import Dataset, SourcePart


def overlap(world: World, dataset: Dataset) -> Diagnostic | None:
    """Return why a dataset would read what it writes, or one place twice; None where it does not.

    What `files` leaves out does not count: a pattern is edited sooner than a folder is moved. A
    merge may read its own destination, as `batuta data merge` does, and nothing in or around it.
    """
    parts: tuple[SourcePart, ...] = dataset.source.merge or (dataset.source,)
    places = [_source(world, part) for part in parts]
    target = _place(world, dataset.destination, dataset.destination_platform)
    for part, place in zip(parts, places, strict=True):
        if place == target and dataset.source.merge:
            continue
        if place is not None and (place.startswith(target) or target.startswith(place)):
            return overlapping(dataset, _written(world, part))
    name = _read_twice(parts, places)
    return None if name is None else twice(dataset, name)


def _read_twice(parts: Sequence[SourcePart], places: Sequence[str | None]) -> str | None:
    """The name of a source whose very rows an earlier one of the merge has."""
    for number, part in enumerate(parts):
        for before, place in zip(parts[:number], places, strict=False):
            if place == places[number] and place is not None and _same_rows(before, part):
                return source_name(part)
    return None


def _same_rows(one: SourcePart, other: SourcePart) -> bool:
    """Two pinned versions are two sets of rows; a pinned one and what is there now need not be."""
    if one.version != other.version and one.version and other.version:
        return False
    here = (replace(part, address=None, dataset="") for part in (one, other))
    return len({source_text(part) for part in here}) == 1


def _source(world: World, part: SourcePart) -> str | None:
    if part.address is not None:
        return _place(world, part.address, part.platform)
    upstream = world.datasets.get(part.dataset or "")
    if upstream is None:
        return None
    return _place(world, upstream.destination, upstream.destination_platform)


def _written(world: World, part: SourcePart) -> str:
    if part.address is not None:
        return str(part.address)
    return str(world.datasets[part.dataset or ""].destination)


def _place(world: World, address: Address, platform_name: str | None) -> str:
    """Name a folder or prefix so that whatever lies in it has a name that begins with its own."""
    inner = address.inner
    if inner.scheme == "file":
        path = world.input.real_paths.get(inner.path, inner.path)
        return f"file {path.rstrip('/')}/"
    platform = world.platforms.get(platform_name or "")
    endpoints = ",".join(platform.endpoints) if platform is not None else ""
    return f"{inner.scheme} {endpoints} {inner.path.rstrip('/')}/"
