"""Domains as data: those that the specification blocks, and those that all tenants share.

Names of vendors stand here and not with their connectors, since a policy is judged also where
the vendor's connector is not installed.
"""

from batuta.core.egress.hosts import apex, is_wildcard
from batuta.model.tier import Tier

BLOCKED: dict[Tier, tuple[str, ...]] = {
    Tier.FULLY_SOVEREIGN: (
        "amazonaws.com", "snowflakecomputing.com", "databricks.com", "huggingface.co",
    ),
    Tier.HYBRID_SOVEREIGN: ("databricks.com", "huggingface.co"),
    Tier.PRIVATE_CLOUD: (),
    Tier.STANDARD: (),
}  # fmt: skip
"""The specification's `blocked_endpoints`, each with the name itself and all below it.

A list of names to deny can never be complete, so nothing rests on it: what no rule allows is
closed anyway. It makes the message say that the tier, not a missing line, is the reason.
"""

SHARED = (
    "amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "api.aws", "core.windows.net",
    "core.chinacloudapi.cn", "core.usgovcloudapi.net", "storage.googleapis.com", "hf.co",
    "huggingface.co", "snowflakecomputing.com", "snowflakecomputing.cn", "cloud.databricks.com",
    "cloud.databricks.us", "azuredatabricks.net", "gcp.databricks.com",
)  # fmt: skip
"""Domains under which any customer of a platform can have a name."""


def shared_by(pattern: str) -> str | None:
    """Return the shared domain that a wildcard lies under, at any depth; None for other patterns."""
    if not is_wildcard(pattern):
        return None
    below = apex(pattern)
    return next((s for s in SHARED if below == s or below.endswith(f".{s}")), None)


def directly_shared(pattern: str) -> bool:
    """True where the wildcard's one label is the tenant's own name in a shared domain."""
    return is_wildcard(pattern) and apex(pattern) in SHARED
