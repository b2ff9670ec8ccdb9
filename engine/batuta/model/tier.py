"""Sovereignty tiers in order, and how a platform is reached."""

from enum import StrEnum


class Tier(StrEnum):
    """The four tiers of the specification, most sovereign first."""

    FULLY_SOVEREIGN = "FullySovereign"
    HYBRID_SOVEREIGN = "HybridSovereign"
    PRIVATE_CLOUD = "PrivateCloud"
    STANDARD = "Standard"

    @property
    def rank(self) -> int:
        """0 for the most sovereign tier, 3 for Standard."""
        return _ORDER.index(self)


_ORDER = tuple(Tier)


class Network(StrEnum):
    """How a Platform is reached; it decides which tiers admit it."""

    LOCAL = "Local"
    ON_PREM = "OnPrem"
    PRIVATE_LINK = "PrivateLink"
    VPC = "Vpc"
    PUBLIC = "Public"
