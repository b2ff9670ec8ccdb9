"""docs/reference/tiers.md: what tiers admit, where labelled data may go, which walls a run needs.

Every cell is asked of the rules that plans go by, so the page cannot say something else. What it
should say is written down by hand in `tests/cases/tiers/`, and a test compares.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement

from batuta.core import tiers
from batuta.core.egress.suffixes import BLOCKED
from batuta.core.labels import flows, lattice
from batuta.model.tier import Network, Tier
from batuta.runtime.sandbox import levels

AT_HOME = ("local", "alimentar", "pacha", "entrenar")
ABROAD = ("aws", "azure", "snowflake", "databricks", "huggingface", "mlflow", "iceberg", "other")
"""Platform types; `other` is any that no rule names."""

_WORDS = {
    flows.Denial.CONFIDENTIALITY: "too secret",
    flows.Denial.INTEGRITY: "too doubtful",
}


def page(made: str) -> str:
    """Return the page; `made` is the line that says what made it."""
    parts = [f"# Tiers, labels and enforcement\n\n{made}{_HEAD}"]
    parts += [_PLATFORMS, _grid(("platform type", "network", *Tier, "note"), _platforms())]
    parts += [_PLACES, _BLOCKED, _grid(("host, and all below it", *Tier), _blocked())]
    parts += [_FLOWS, _grid(("from a place of", *Tier), _flows())]
    parts += [_EVERY, _grid(("confidentiality", "integrity", *Tier), _labels())]
    parts += [_MERGES, _grid(("one", "other", "confidentiality", "integrity", "admitted by"),
                             _merges())]  # fmt: skip
    parts += [_UNLABELLED, _LEVELS]
    parts += [_grid(("tier", "ends", "the policy accepts filtered", "levels"), _levels())]
    parts += [_WITHOUT, _grid(("tier", "declared or derived", "enforcement", "answer"), _alone())]
    return "\n".join(parts)


def _platforms() -> Iterable[tuple[str, ...]]:
    there = [n for n in Network if n is not Network.LOCAL]
    for kind, network in (
        *((t, Network.LOCAL) for t in AT_HOME),
        *((t, n) for t in ABROAD for n in there),
    ):
        admitted = ("yes" if tiers.admits(tier, network, kind) else "no" for tier in Tier)
        declared = kind in tiers.ATTESTED and network is not Network.PUBLIC
        yield kind, network, *admitted, "declared, not proven" if declared else ""


def _blocked() -> Iterable[tuple[str, ...]]:
    for host in dict.fromkeys(name for names in BLOCKED.values() for name in names):
        yield host, *("blocked" if host in BLOCKED[tier] else "-" for tier in Tier)


def _answers(label: lattice.Label) -> Iterable[str]:
    for tier in Tier:
        denials = flows.refusals(flows.Place(tier=tier), label)
        yield ", ".join(_WORDS[denial] for denial in denials) or "ok"


def _flows() -> Iterable[tuple[str, ...]]:
    for origin in Tier:
        yield origin, *_answers(flows.ingested(origin))


def _labels() -> Iterable[tuple[str, ...]]:
    for secret in Tier:
        for trusted in Tier:
            label = lattice.Label(confidentiality=secret, integrity=trusted)
            yield secret, trusted, *_answers(label)


def _merges() -> Iterable[tuple[str, ...]]:
    for one, other in combinations_with_replacement(Tier, 2):
        label = lattice.join(flows.ingested(one), flows.ingested(other))
        places = [tier for tier in Tier if flows.admits(flows.Place(tier=tier), label)]
        yield one, other, label.confidentiality, label.integrity, ", ".join(places) or "no place"


def _levels() -> Iterable[tuple[str, ...]]:
    for tier in Tier:
        for local, said in ((True, False), (False, False), (False, True)):
            need = levels.Need(tier=tier, local_ends=local, filtered_allowed=said)
            found = ", ".join(levels.accepted(need))
            yield tier, "local" if local else "network", "yes" if said else "no", found


def _alone() -> Iterable[tuple[str, ...]]:
    for tier in Tier:
        for declared, required in ((True, False), (False, False), (True, True), (False, True)):
            need = levels.Need(tier=tier, local_ends=True, declared=declared, required=required)
            yield (
                tier,
                "declared" if declared else "derived",
                "Required" if required else "Declared",
                "goes on" if levels.goes_on_unenforced(need) else "refused",
            )


def _grid(head: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    all_rows = [tuple(map(str, head)), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*all_rows, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(n) for c, n in zip(row, widths, strict=True)) + " |"
        for row in all_rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:], ""])


_HEAD = """Four tiers, most sovereign first: FullySovereign, HybridSovereign, PrivateCloud, Standard. A dataset has
one, declared (`tier`) or derived, and it governs both ends of a run. What the promise of a tier rests on:
[the threat model](../explanation/threat-model.md).
"""

_PLATFORMS = """## Platforms and networks

A tier admits every platform that a more sovereign one admits. `network` of the Platform decides; local folders are
the network Local. Databricks and HuggingFace are not admitted in HybridSovereign over any network. HuggingFace
documents no private endpoint, so there the hosts are declared and the plan says so (SOV108). What a tier does not
admit is refused (SOV101).
"""

_PLACES = """Both ends of a transfer have to be admitted, and of a table in a catalog both the catalog and the storage below
it. Where no tier is declared it is the most sovereign one that admits all of them and the label; a derived tier
never becomes weaker by itself (SOV104).
"""

_BLOCKED = """## Blocked hosts

Denied whatever a policy allows (EGR102). What is not listed is not open by that: a worker reaches the hosts that its
own action needs and its policies allow, and nothing else.
"""

_FLOWS = """## Where data may go

Data that comes in at a tier has that tier as its confidentiality and as its integrity. *too secret* (SOV105): the
place is less sovereign than the data is confidential. *too doubtful* (SOV106): the data's origin is less controlled
than the place asks for. The way out of either is a recorded decision, `batuta label approve`.
"""

_EVERY = """## Every label

Decisions and merges make labels whose two parts differ.
"""

_MERGES = """## Merges

Data made from two inputs is as secret as the more secret and as trusted as the less trusted one. It may lie where
each input may, and a release needs every owner. Where no place admits it, the merge stops with LBL106 and names the
ways out.
"""

_UNLABELLED = """## Data without a label

| data | confidentiality | integrity |
|------|-----------------|-----------|
| on a Platform | the most sovereign tier that its network fits | the same |
| local, `source.origin.tier` stated | that tier | that tier |
| local, nothing stated | the tier of the dataset | Standard |
| below a log of batuta or with a known digest, label missing or broken | FullySovereign | Standard: no place admits it |

Plan calls the first three *declared, not proven*. `residency` only ever narrows; a region that nobody declared
satisfies no restriction (SOV107).
"""

_LEVELS = """## Enforcement

The levels that will do for a run, best first; the best one that the machine gives is used. `batuta doctor` says
which that is. *local*: both ends are folders of the machine.
"""

_WITHOUT = """Where the machine gives none of them, the run is refused (EGR201) or goes on unenforced. `enforcement` is the
Workspace's.
"""
