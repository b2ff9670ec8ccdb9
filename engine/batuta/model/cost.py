"""What an action costs: bytes, the platform's own unit, money, and how sure the figure is."""

from dataclasses import dataclass
from enum import StrEnum


class Confidence(StrEnum):
    """Exact figures come from the platform, estimates from statistics; Unknown is never 0."""

    EXACT = "Exact"
    ESTIMATED = "Estimated"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """Money is a decimal string with its currency (`"25.00 USD"`), None where it is not known."""

    confidence: Confidence
    amount: str | None = None
    bytes_read: int | None = None
    bytes_sent: int | None = None
    requests: int | None = None
    driver: str = ""
