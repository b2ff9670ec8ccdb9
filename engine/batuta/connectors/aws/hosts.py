"""The hosts of S3: every form that AWS has, by region, and the ones that an address needs.

The needs are computed from the Platform and the address alone, so that a plan without network
can say them. Source: the endpoint rules and the list of partitions that botocore carries; a test
compares this table with them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from batuta.connectors.aws import faults
from batuta.connectors.aws.client import key_services, region_of
from batuta.model.address import Address
from batuta.model.connector import Connection
from batuta.model.egress import HostNeed

DEFAULT_REGION = "us-east-1"
_HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of AWS with names of its own; `dual_stack` is the suffix of services but S3."""

    name: str
    prefix: str
    suffix: str
    dual_stack: str


COMMERCIAL = Partition("aws", "", "amazonaws.com", "api.aws")
PARTITIONS = (
    Partition("aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    Partition("aws-us-gov", "us-gov-", "amazonaws.com", "api.aws"),
    Partition("aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    Partition("aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    Partition("aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    Partition("aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    Partition("aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    COMMERCIAL,
)
"""All partitions; a region is in the first one whose prefix it has."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form of S3's host names. `in_region` is False where bytes may cross the region's edge.

    `own` is True where the host names the bucket or the access point, so that a rule for it is a
    border between customers.
    """

    template: str
    own: bool
    in_region: bool = True


FORMS: Mapping[str, Form] = {
    "virtual": Form("{bucket}.s3.{region}.{suffix}", own=True),
    "path": Form("s3.{region}.{suffix}", own=False),
    "dual-stack": Form("{bucket}.s3.dualstack.{region}.{suffix}", own=True),
    "fips": Form("{bucket}.s3-fips.{region}.{suffix}", own=True),
    "fips-dual-stack": Form("{bucket}.s3-fips.dualstack.{region}.{suffix}", own=True),
    "legacy": Form("{bucket}.s3.{suffix}", own=True, in_region=False),
    "accelerate": Form("{bucket}.s3-accelerate.{suffix}", own=True, in_region=False),
    "access-point": Form("{bucket}-{account}.s3-accesspoint.{region}.{suffix}", own=True),
    "object-lambda": Form("{bucket}-{account}.s3-object-lambda.{region}.{suffix}", own=True),
    "multi-region": Form("{bucket}.accesspoint.s3-global.{suffix}", own=True, in_region=False),
    "express": Form("{bucket}.s3express-{zone}.{region}.{suffix}", own=True),
    "express-control": Form("s3express-control.{region}.{suffix}", own=False),
    "outposts": Form("{bucket}-{account}.{outpost}.s3-outposts.{region}.{suffix}", own=True),
    "interface": Form("bucket.{endpoint}.s3.{region}.vpce.{suffix}", own=False),
    "interface-access-point": Form("accesspoint.{endpoint}.s3.{region}.vpce.{suffix}", own=False),
    "interface-control": Form("control.{endpoint}.s3.{region}.vpce.{suffix}", own=False),
}
"""S3's host names. batuta itself uses `virtual`, and `path` where the bucket is no host name."""


def partition_of(region: str) -> Partition:
    """Return the partition that a region lies in."""
    return next(p for p in PARTITIONS if region.startswith(p.prefix))


def host_of(form: str, region: str, **parts: str) -> str:
    """Return the host of a form, `parts` being what its template names beside the region.

    Raises:
        KeyError: there is no such form, or one of its parts was not given: a mistake of the code.
    """
    suffix = partition_of(region).suffix
    return FORMS[form].template.format(region=region, suffix=suffix, **parts)


def hosts_for(connection: Connection, address: Address) -> tuple[HostNeed, ...]:
    """Return the host that reading or writing an `s3://` address needs: always exactly one.

    Where the bucket turns out to lie in another region than the Platform says, AWS asks to go to
    another host; that one is not needed but a finding: the Platform's region is to be corrected.

    Raises:
        ConnectorError: AWS120 for an endpoint or a region that is none.
    """
    bucket = address.path.partition("/")[0]
    region = region_of(connection) or DEFAULT_REGION
    if not _REGION.fullmatch(region):
        raise faults.failure("AWS120", f"`{region}` is no region.")
    stated = connection.options.get("endpoint") or next(iter(connection.endpoints), None)
    custom = isinstance(stated, str)
    wanted = connection.options.get("pathStyle")
    named = _HOST_NAME.fullmatch(bucket) is not None
    by_path = wanted if isinstance(wanted, bool) else custom or not named
    if not isinstance(stated, str):
        form = "path" if by_path else "virtual"
        return (_need(host_of(form, region, bucket=bucket), bucket, by_path=by_path),)
    return (_custom(stated, bucket, by_path=by_path),)


def key_hosts(connection: Connection) -> tuple[HostNeed, ...]:
    """Return the hosts that batuta's own process asks for keys, for a Platform that states none.

    Empty where keys lie in files or variables, come of a command, or of this machine's metadata.

    Raises:
        ConnectorError: AWS101, the profile cannot be read.
    """
    found: dict[tuple[str, int], HostNeed] = {}
    for service, url in key_services(connection):
        parts = urlsplit(url)
        if parts.hostname is None or parts.scheme not in _PORTS:
            continue
        why = f"gives batuta itself keys ({service}); no worker asks it"
        need = HostNeed(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            scheme=parts.scheme,
            why=why,
            bulk=False,
            shared=True,
        )
        found.setdefault((need.host, need.port), need)
    return tuple(found.values())


def _custom(stated: str, bucket: str, *, by_path: bool) -> HostNeed:
    parts = urlsplit(stated if "://" in stated else f"https://{stated}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or port == 0:
        raise faults.failure("AWS120", f"`endpoint` is `{stated}`, which is no http or https URL.")
    bare = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = bare if by_path else f"{bucket}.{bare}"
    return _need(
        host,
        bucket,
        by_path=by_path,
        scheme=parts.scheme,
        port=port or _PORTS[parts.scheme],
        base=parts.path.rstrip("/"),
    )


def _need(
    host: str,
    bucket: str,
    *,
    by_path: bool,
    scheme: str = "https",
    port: int = 443,
    base: str = "",
) -> HostNeed:
    return HostNeed(
        host=host,
        port=port,
        scheme=scheme,
        why=f"serves the objects of the bucket {bucket}",
        shared=by_path,
        paths=(f"{base}/{bucket}",) if by_path else (),
    )
