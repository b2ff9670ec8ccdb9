"""Selectors: which datasets a plan is about.

`orders`, `sales-*`, `Dataset/orders`, `tag:team=core`, `tier:PrivateCloud`, `platform:lake`;
with `+` in front also what it reads, with `+` behind also what reads it. Several selectors
are a union; excluding wins.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from batuta.core.plan_input import Asked
from batuta.model.diagnostic import Diagnostic, Location
from batuta.model.resource import Dataset, Desired
from batuta.model.tier import Tier

_PREFIXES = ("tag:", "tier:", "platform:")


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen names, and what is wrong with the selectors: one that meets nothing is an error."""

    names: frozenset[str]
    diagnostics: tuple[Diagnostic, ...] = ()


def select(
    desired: Desired,
    asked: Asked,
    *,
    tiers: Mapping[str, str] | None = None,
    others: Iterable[str] = (),
) -> Selection:
    """Return the names that the selectors choose; all where nothing is asked.

    `tiers` are the recorded tiers by name, for datasets that declare none. `others` are names
    of resources without a document, which can be chosen by name alone.
    """
    datasets = desired.datasets
    known = sorted({*others, *(dataset.name for dataset in datasets)})
    if not asked.select and not asked.exclude:
        return Selection(frozenset(known))
    graph = Graph(datasets)
    default = desired.workspace.default_tier
    tier_of = {d.name: str(d.tier or default or (tiers or {}).get(d.name, "")) for d in datasets}
    found: list[Diagnostic] = []
    chosen: set[str] = set() if asked.select else set(known)
    for selectors, keep in ((asked.select, True), (asked.exclude, False)):
        for text in selectors:
            names = _matching(text, datasets, tier_of, known)
            if not names:
                found.append(_nothing(text, known, set(tier_of.values())))
            names = graph.grown(names, text)
            chosen = chosen | names if keep else chosen - names
    return Selection(frozenset(chosen), tuple(found))


def resynced(
    desired: Desired, asked: Asked, *, tiers: Mapping[str, str], others: Iterable[str]
) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    """Return the names that are to be read anew, and what is wrong with what was typed.

    Names that may lose data are checked as well: a misspelt one would allow nothing, silently.
    """
    others = tuple(others)
    wanted = replace(asked, select=asked.resync, exclude=())
    chosen = select(desired, wanted, tiers=tiers, others=others)
    found = [*chosen.diagnostics]
    known = sorted({*others, *(dataset.name for dataset in desired.datasets)})
    found += [
        _nothing(name, known)
        for name in asked.allow_data_loss
        if name.removeprefix("Dataset/") not in known
    ]
    names = tuple(sorted(chosen.names)) if asked.resync else ()
    return names, tuple(found) if asked.resync else tuple(found[len(chosen.diagnostics) :])


class Graph:
    """Who reads whom, by name."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._reads = {d.name: d.depends_on for d in datasets}
        self._read_by: dict[str, list[str]] = {}
        for dataset in datasets:
            for name in dataset.depends_on:
                self._read_by.setdefault(name, []).append(dataset.name)

    def grown(self, names: set[str], text: str) -> set[str]:
        """Return `names` with what the plus signs of the selector add."""
        up = _closure(names, self._reads) if text.startswith("+") else names
        down = _closure(names, self._read_by) if text.endswith("+") else names
        return up | down


def _closure(names: set[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    found, queue = set(names), list(names)
    while queue:
        for name in edges.get(queue.pop(), ()):
            if name not in found:
                found.add(name)
                queue.append(name)
    return found


def _matching(
    text: str, datasets: Sequence[Dataset], tier_of: Mapping[str, str], known: Sequence[str]
) -> set[str]:
    bare = text.strip("+").removeprefix("Dataset/")
    if not bare.startswith(_PREFIXES):
        if bare in known:
            return {bare}  # a name is itself, whatever characters it has
        return {name for name in known if fnmatchcase(name, bare)}
    kind, _, value = bare.partition(":")
    return {d.name for d in datasets if _has(d, tier_of, kind, value)}


def _has(dataset: Dataset, tier_of: Mapping[str, str], kind: str, value: str) -> bool:
    match kind:
        case "tag":
            key, equals, wanted = value.partition("=")
            tags = dict(dataset.tags)
            fits = not equals or tags.get(key) == wanted or fnmatchcase(tags.get(key, ""), wanted)
            return key in tags and fits
        case "tier":
            return tier_of[dataset.name] == value
        case _:
            return value in {dataset.source.platform, dataset.destination_platform}


def _nothing(text: str, known: Sequence[str], used: Collection[str] = ()) -> Diagnostic:
    bare = text.strip("+").removeprefix("Dataset/")
    return Diagnostic(
        code="PLN117",
        summary="A selector meets no dataset",
        detail=f"{text!r} chooses none of the {len(known)} datasets.",
        fix=_no_tier(bare, used) if bare.startswith("tier:") else _no_name(bare, known),
        locations=(Location("<command line>", 1, 1),),
    )


def _no_tier(bare: str, used: Collection[str]) -> str:
    name, tiers = bare.removeprefix("tier:"), [str(tier) for tier in Tier]
    if name in tiers:
        return f"Name a tier that a dataset has: {', '.join(t for t in tiers if t in used)}."
    near = get_close_matches(name.casefold(), {t.casefold() for t in tiers}, n=1)
    meant = [f"tier:{t}" for t in tiers if t.casefold() in near]
    return f"Write {meant[0]!r}." if meant else f"The tiers are {', '.join(tiers)}."


def _no_name(bare: str, known: Sequence[str]) -> str:
    if near := get_close_matches(bare, known, n=1):
        return f"Write {near[0]!r}."
    return (
        "List the names with `batuta render`, and with `batuta state list` those that no"
        " document describes."
    )
