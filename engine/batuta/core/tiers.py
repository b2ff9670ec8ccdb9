"""Which tier admits what, how a tier is derived, and which label data carries.

The matrix is cumulative: a tier admits every platform that a more sovereign tier admits, so
one tier per (network, platform type) says it all. Labels here are those of a log; the rules are
those of the lattice, for a flow in one step to a place whose region is checked elsewhere.
"""

from dataclasses import dataclass, replace

from batuta.core.labels import lattice
from batuta.core.labels.flows import Denial, Place, refusals
from batuta.model.log import Label
from batuta.model.tier import Network, Tier

FITS: dict[Network, Tier] = {
    Network.LOCAL: Tier.FULLY_SOVEREIGN,
    Network.ON_PREM: Tier.FULLY_SOVEREIGN,
    Network.PRIVATE_LINK: Tier.HYBRID_SOVEREIGN,
    Network.VPC: Tier.PRIVATE_CLOUD,
    Network.PUBLIC: Tier.STANDARD,
}
"""The most sovereign tier that a network fits."""

NEVER_ABOVE: dict[str, Tier] = {
    "databricks": Tier.PRIVATE_CLOUD,
    "huggingface": Tier.PRIVATE_CLOUD,
}
"""Platform types that the specification blocks above a tier, whatever their network."""

ATTESTED = frozenset({"huggingface"})
"""Platform types without a private endpoint of their own: their hosts are declared, not proven."""

_TIERS = tuple(Tier)
RANK: dict[str, int] = {tier.value: tier.rank for tier in Tier}
"""0 for the most sovereign tier, by name: labels hold names."""

UNKNOWN = Label(
    confidentiality=Tier.FULLY_SOVEREIGN, integrity=Tier.STANDARD, declared=False
)  # fmt: skip
"""The top of the lattice: data whose label is lost. No place above PrivateCloud takes it in,
and none below FullySovereign may hold it, so it goes nowhere until somebody decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a transfer: `role` is `source` or `destination`; `what` names it in a message.

    `region` is where its bytes lie, None where nobody said. `residency` are the regions that
    data which comes from there may lie in; empty for anywhere.
    """

    role: str
    what: str
    network: Network
    platform_type: str
    platform: str | None = None
    region: str | None = None
    residency: tuple[str, ...] = ()

    @property
    def fits(self) -> Tier:
        """The most sovereign tier that admits this end."""
        return fit(self.network, self.platform_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What is known of the label that source data carries.

    `label` is the one that a log or a Platform gives; None for local data without one, where
    `stated` is the owner's word (`source.origin`), None where there is none either. `parts` are
    the inputs of a merge, which carry labels of their own; then the other two are None. `own`
    says that the label lies in a log of the data's own, so that it can be decided about; `lost`
    that one is there and cannot be believed.
    """

    label: Label | None = None
    stated: Tier | None = None
    parts: "tuple[Carried, ...]" = ()
    own: bool = False
    lost: bool = False

    @property
    def each(self) -> "tuple[Carried, ...]":
        """What is known of each input, in order; of the one where nothing is merged."""
        return self.parts or (self,)

    def at(self, tier: Tier) -> Label:
        """The label of the data in a run of this tier."""
        if self.parts:
            return united(tuple(part.at(tier) for part in self.parts))
        if self.label is not None:
            return self.label
        if self.stated is not None:
            return Label(confidentiality=self.stated, integrity=self.stated)
        return Label(confidentiality=tier, integrity=Tier.STANDARD)


def fit(network: Network, platform_type: str) -> Tier:
    """Return the most sovereign tier that admits a platform of this type over this network."""
    own, floor = FITS[network], NEVER_ABOVE.get(platform_type)
    return own if floor is None or RANK[floor] <= RANK[own] else floor


def admits(tier: Tier, network: Network, platform_type: str) -> bool:
    """True where `tier` allows a transfer to or from such a platform."""
    return RANK[tier] >= RANK[fit(network, platform_type)]


def platform_label(network: Network, platform_type: str) -> Label:
    """Return the label of data that lies on a platform and carries none."""
    own = fit(network, platform_type)
    return Label(confidentiality=own, integrity=own, declared=False)


def keeps_secret(tier: Tier, label: Label) -> bool:
    """True where a place of `tier` is at least as sovereign as the data is confidential."""
    return Denial.CONFIDENTIALITY not in refusals(Place(tier=tier), lattice.of_record(label))


def trusts(tier: Tier, label: Label) -> bool:
    """True where the data's origin is controlled enough for a place of `tier`."""
    return Denial.INTEGRITY not in refusals(Place(tier=tier), lattice.of_record(label))


def derive(ends: tuple[End, ...], carried: Carried) -> Tier | None:
    """Return the most sovereign tier that admits all ends and the label; None where none does.

    Tried from FullySovereign down; data without any label takes the tier tried as its
    confidentiality, so undeclared local data in a local folder comes out as PrivateCloud.
    """
    strongest = max(RANK[end.fits] for end in ends)
    for tier in _TIERS[strongest:]:
        label = carried.at(tier)
        if keeps_secret(tier, label) and trusts(tier, label):
            return tier
    return None


def restrict(label: Label, residency: tuple[str, ...]) -> Label | None:
    """Return `label` confined to `residency` as well; None where no region is left.

    No regions means anywhere, on either side.
    """
    if not residency:
        return label
    wanted = tuple(sorted(residency))
    if not label.residency:
        return replace(label, residency=wanted)
    both = tuple(sorted(set(label.residency) & set(wanted)))
    return replace(label, residency=both) if both else None


def restated(kept: Label, new: Label) -> Label:
    """Return the label of rows that have one and about which a newer one is told.

    The greater confidentiality and the lower integrity of the two. Where both rest on a
    statement the newer statement holds. Residency is the newer one's. Only for rows that the
    newer label is about: beside rows of which it says nothing they are `united`.
    """
    if kept.declared and new.declared:
        return new
    both = lattice.join(lattice.of_record(kept), lattice.of_record(new))
    return Label(
        confidentiality=both.confidentiality,
        integrity=both.integrity,
        residency=new.residency,
        declared=kept.declared or new.declared,
    )


def united(labels: tuple[Label, ...]) -> Label:
    """Return the label of data with these labels in one place: their join, whatever the order.

    Where no region is allowed by all, the one that is named does not exist.
    """
    whole = lattice.joined(map(lattice.of_record, labels))
    declared = any(label.declared for label in labels)
    if whole.regions.none:
        whole = replace(whole, regions=_NOWHERE)
    return lattice.to_record(whole, declared=declared) or UNKNOWN


_NOWHERE = lattice.Names(frozenset({"nowhere"}))


def known(label: Label) -> Label:
    """Return `label`, or the top of the lattice where it does not name two tiers."""
    whole = label.confidentiality in RANK and label.integrity in RANK
    return label if whole else UNKNOWN
