"""Amazon Web Services: objects in S3 and in stores that speak its protocol."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from batuta.model.canonical import Json
from batuta.model.connector import Connector
from batuta.model.format import OptionSpec

if TYPE_CHECKING:
    from batuta.model.address import Address
    from batuta.model.connector import Connection, Files, Source
    from batuta.model.egress import HostNeed
    from batuta.model.request_signing import StandIns


def _source(connection: "Connection") -> "Source":
    from batuta.connectors.aws.source import S3Source

    return S3Source(connection)


def _files(connection: "Connection", address: "Address") -> "Files":
    from batuta.connectors.aws.files import S3Files

    return S3Files(connection, address)


def _hosts(connection: "Connection", address: "Address") -> "tuple[HostNeed, ...]":
    from batuta.connectors.aws.hosts import hosts_for

    return hosts_for(connection, address)


def _stand_ins() -> "StandIns":
    from batuta.connectors.aws.standin import STAND_INS

    return STAND_INS


def _chain(connection: "Connection") -> tuple[Mapping[str, str], Mapping[str, Json]]:
    """Return the keys and the region that the profile's chain gives now."""
    from batuta.connectors.aws.client import keys_of, region_of

    keys = keys_of(connection)()
    found = {
        "accessKeyId": keys.access_key,
        "secretAccessKey": keys.secret_key,
        "sessionToken": keys.token or "",
    }
    region = region_of(connection)
    return {k: v for k, v in found.items() if v}, {"region": region} if region else {}


def _chain_hosts(connection: "Connection") -> "tuple[HostNeed, ...]":
    """Return the hosts that the profile's chain asks for keys: of STS, SSO, or neither."""
    from batuta.connectors.aws.hosts import key_hosts

    return key_hosts(connection)


def _missing() -> str | None:
    from importlib.util import find_spec

    return next((name for name in ("botocore", "s3fs") if find_spec(name) is None), None)


def _implicit(environ: Mapping[str, str]) -> Mapping[str, Json]:
    """Return the options that the environment of AWS's own tools states.

    `credentials` holds references to the variables with keys, never the keys. Without them the
    profile's chain is asked (files, SSO, `credential_process`, container and instance roles).
    """
    wanted = {
        "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "profile": ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    }
    out: dict[str, Json] = {}
    for option, names in wanted.items():
        if (
            value := next((environ[name] for name in names if environ.get(name)), None)
        ) is not None:
            out[option] = value
    keys = {
        "accessKeyId": "AWS_ACCESS_KEY_ID",
        "secretAccessKey": "AWS_SECRET_ACCESS_KEY",
        "sessionToken": "AWS_SESSION_TOKEN",
    }
    references = {
        name: f"env:{variable}" for name, variable in keys.items() if environ.get(variable)
    }
    if "accessKeyId" in references and "secretAccessKey" in references:
        out["credentials"] = references
    return out


CONNECTOR = Connector(
    name="aws",
    schemes=("s3",),
    platform_type="aws",
    extra="aws",
    options=(
        OptionSpec(
            name="endpoint",
            type="string",
            help="URL of the S3 service, for stores other than AWS's and interface endpoints.",
        ),
        OptionSpec(name="profile", type="string", help="Profile of the AWS configuration files."),
        OptionSpec(name="region", type="string", help="Region, where the Platform states none."),
        OptionSpec(
            name="pathStyle",
            type="boolean",
            help="Put the bucket into the path, not the host name. Left out: where `endpoint` is"
            " set, or the bucket's name is no host name.",
        ),
        OptionSpec(
            name="requesterPays",
            type="boolean",
            help="Accept that requests and transfer are charged to this account.",
            default=False,
        ),
    ),
    credentials=(
        OptionSpec(name="accessKeyId", type="string", help="Access key's id.", secret=True),
        OptionSpec(name="secretAccessKey", type="string", help="Secret key.", secret=True),
        OptionSpec(
            name="sessionToken", type="string", help="Token of temporary keys.", secret=True
        ),
    ),
    source=_source,
    files=_files,
    missing=_missing,
    implicit=_implicit,
    hosts=_hosts,
    chain=_chain,
    chain_hosts=_chain_hosts,
    stand_ins=_stand_ins,
)
