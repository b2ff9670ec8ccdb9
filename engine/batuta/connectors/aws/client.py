"""The vendor library, and nothing else of it: who we are (botocore's chain of credentials).

Requests go out through `wire`, signed by `sigv4`; botocore signs, sends and retries nothing
here, so that one layer, the caller, owns retries.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from batuta.connectors.aws import faults
from batuta.connectors.aws.sigv4 import Keys
from batuta.model.connector import Connection
from batuta.model.diagnostic import Failure


def keys_of(connection: Connection) -> Callable[[], Keys]:
    """Return a function that gives the keys of now: the Platform's own, else the chain's.

    Temporary keys of the chain are renewed by botocore when they are near their end.

    Raises:
        ConnectorError: AWS101 where there are none; AWS108 where they cannot be renewed.
    """
    access = connection.secrets.get("accessKeyId")
    secret = connection.secrets.get("secretAccessKey")
    if access and secret:
        keys = Keys(access, secret, connection.secrets.get("sessionToken") or None)
        return lambda: keys
    if access or secret:
        raise faults.failure("AWS101", "One of accessKeyId and secretAccessKey is missing.")
    return _chain(_text(connection, "profile"))


def region_of(connection: Connection) -> str | None:
    """Return the region that the Platform, its options or the profile state."""
    if stated := connection.region or _text(connection, "region"):
        return stated
    if connection.secrets.get("accessKeyId"):
        return None
    from botocore.exceptions import BotoCoreError

    try:
        region = _session(_text(connection, "profile")).get_config_variable("region")
    except BotoCoreError as error:
        raise faults.failure("AWS101", f"{error}.", Failure.AUTH) from error
    return str(region) if region else None


def _text(connection: Connection, option: str) -> str | None:
    value = connection.options.get(option)
    return value if isinstance(value, str) and value else None


@cache
def _session(profile: str | None) -> Any:
    from botocore.session import Session

    return Session(profile=profile)


@cache
def _chain(profile: str | None) -> Callable[[], Keys]:
    from botocore.exceptions import BotoCoreError

    try:
        found = _session(profile).get_credentials()
    except BotoCoreError as error:
        raise faults.failure("AWS101", f"{error}.", Failure.AUTH) from error
    if found is None:
        where = f"profile `{profile}`" if profile else "the default chain"
        raise faults.failure("AWS101", f"Nothing in {where} gives keys.", Failure.AUTH)

    def now() -> Keys:
        try:
            frozen = found.get_frozen_credentials()
        except BotoCoreError as error:
            raise faults.failure("AWS108", f"{error}.", Failure.AUTH) from error
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    return now
