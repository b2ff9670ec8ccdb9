"""The vendor's libraries: botocore says who we are, s3fs is the file system over a bucket.

Signed addresses come from `sigv4` and listings of sources from `wire`, where it matters how long
they take. Nothing is sent twice here, so that one layer, the caller, owns retries.
"""

import asyncio
import ipaddress
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

from batuta.connectors.aws import faults
from batuta.connectors.aws.sigv4 import Keys
from batuta.model.connector import Connection, KeysOut, WayOut
from batuta.model.diagnostic import Failure

TIMEOUT_S = 60
_CONTAINER_S = 2
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3}) ([\w.]+)")
_METADATA_6 = ipaddress.ip_network("fd00:ec2::/32")


def keys_of(connection: Connection) -> Callable[[], Keys]:
    """Return a function that gives the keys of now: the Platform's own, else the chain's.

    Temporary keys of the chain are renewed by botocore when they are near their end.

    Raises:
        ConnectorError: AWS101 where there are none; AWS108 where they cannot be renewed.
    """
    access = connection.secrets.get("accessKeyId")
    secret = connection.secrets.get("secretAccessKey")
    if access and secret:
        return _Fixed(Keys(access, secret, connection.secrets.get("sessionToken") or None))
    if access or secret:
        raise faults.failure("AWS101", "One of accessKeyId and secretAccessKey is missing.")
    profile = _text(connection, "profile")
    _ways_out[profile] = connection.keys_out
    return _chain(profile)


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


_ways_out: dict[str | None, KeysOut | None] = {}
"""By profile, how its keys are asked for: as whoever needed them last is let out."""


@cache
def _session(profile: str | None) -> Any:
    """Return a session that sends what it asks by the way out of its profile."""
    from botocore.httpsession import URLLib3Session
    from botocore.session import Session

    made = Session(profile=profile)

    def send(request: Any, **_: Any) -> Any:
        way = _ways_out.get(profile)
        return None if way is None else _sent(request, way)  # None: the library sends it itself

    class Near:
        """Sends what is asked of this machine's metadata; the variables for proxies have no say."""

        def __init__(self, timeout_s: float) -> None:
            self._direct = URLLib3Session(proxies={}, timeout=timeout_s)

        def send(self, request: Any) -> Any:
            way = _ways_out.get(profile)
            return self._direct.send(request) if way is None else _sent(request, way, self._direct)

    made.register("before-send", send)
    resolver = made.get_component("credential_provider")
    # The library has no other door to these two.
    resolver.get_provider("iam-role")._role_fetcher._session = Near(
        made.get_config_variable("metadata_service_timeout")
    )
    resolver.get_provider("container-role")._fetcher._session = Near(_CONTAINER_S)
    return made


def _sent(request: Any, way: KeysOut, direct: Any = None) -> Any:
    """Send a request for keys: past the gateway what is on this machine, through it all else."""
    from botocore.exceptions import ProxyConnectionError

    parts = urlsplit(request.url)
    host = parts.hostname or ""
    if direct is not None and _is_near(host):
        with way.beside(host, parts.port or (443 if parts.scheme == "https" else 80)):
            return direct.send(request)
    try:
        answer = _through(way.way_out()).send(request)
    except ProxyConnectionError as error:
        if (refused := _TUNNEL.search(str(error.kwargs.get("error")))) is None:
            raise
        raise faults.of_gateway(f"Keys from {host}", int(refused[1]), refused[2]) from error
    if (said := answer.headers.get("x-batuta-verdict")) is not None:
        raise faults.of_gateway(f"Keys from {host}", answer.status_code, said)
    return answer


@lru_cache(maxsize=8)
def _through(way: WayOut) -> Any:
    from botocore.httpsession import URLLib3Session

    proxies = {"http": way.url, "https": way.url}
    return URLLib3Session(verify=way.ca_file, proxies=proxies, timeout=TIMEOUT_S)


def _is_near(host: str) -> bool:
    """True for addresses that never leave this machine, or its host."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    near = address.is_loopback or address.is_link_local
    return near or (address.version == 6 and address in _METADATA_6)


def key_services(connection: Connection) -> list[tuple[str, str]]:
    """Return what the profile's chain asks over a network: each service and its URL; asks nobody.

    Raises:
        ConnectorError: AWS101, the profile cannot be read.
    """
    from botocore.exceptions import BotoCoreError, NoRegionError

    profile = _text(connection, "profile")
    found: list[tuple[str, str]] = []
    try:
        session = _session(profile)
        for service, region in _asked(session, profile):
            try:
                # With keys of nobody: else it would ask the chain.
                made = session.create_client(
                    service,
                    region_name=region,
                    aws_access_key_id="-",
                    aws_secret_access_key="-",  # noqa: S106
                )
            except NoRegionError:
                continue  # the chain says so, where it is asked
            found.append((service, made.meta.endpoint_url))
    except BotoCoreError as error:
        raise faults.failure("AWS101", f"{error}.", Failure.AUTH) from error
    return found


def _asked(session: Any, profile: str | None) -> list[tuple[str, str | None]]:
    """Return the services, with the region where it is another than the profile's own."""
    environment = os.environ if profile is None else {}
    if environment.get("AWS_ACCESS_KEY_ID"):
        return []
    found: dict[tuple[str, str | None], None] = {}
    if environment.get("AWS_ROLE_ARN") and environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        found["sts", None] = None
    config = session.full_config
    left, seen = [profile or session.get_config_variable("profile") or "default"], set[str]()
    while left:
        seen.add(name := left.pop())
        one = config.get("profiles", {}).get(name, {})
        if one.get("role_arn"):
            found["sts", None] = None
        named = config.get("sso_sessions", {}).get(one.get("sso_session"), {})
        region = one.get("sso_region") or named.get("sso_region")
        if one.get("sso_session") or one.get("sso_start_url"):
            found["sso", region] = None
        if one.get("sso_session"):
            found["sso-oidc", region] = None
        if one.get("login_session"):
            found["signin", None] = None
        if (source := one.get("source_profile")) is not None and source not in seen:
            left.append(source)
    return list(found)


@cache
def _chain(profile: str | None) -> Callable[[], Keys]:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        found = _session(profile).get_credentials()
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise faults.failure("AWS101", _said(error), Failure.AUTH) from error
    if found is None:
        where = f"profile `{profile}`" if profile else "the default chain"
        raise faults.failure("AWS101", f"Nothing in {where} gives keys.", Failure.AUTH)

    def now() -> Keys:
        try:
            frozen = found.get_frozen_credentials()
        except (ClientError, ResponseParserError) as error:
            # Who gives keys answered: they are not to be had.
            code = "AWS108" if "(ExpiredToken" in str(error) else "AWS101"
            raise faults.failure(code, _said(error), Failure.AUTH) from error
        except BotoCoreError as error:
            raise faults.failure("AWS108", _said(error), Failure.AUTH) from error
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    return now


def _said(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."


@dataclass(frozen=True, slots=True)
class _Fixed:
    """The keys that a Platform states; equal ones find the same file system."""

    keys: Keys = field(repr=False)

    def __call__(self) -> Keys:
        return self.keys


def file_system(
    keys: Callable[[], Keys],
    way_out: WayOut | None = None,
    *,
    region: str,
    origin: str,
    by_path: bool,
    pays: bool,
) -> Any:
    """Return the s3fs file system of one place, the same for equal arguments. Any thread may use it.

    It keeps no listing, and asks `keys` for each request. The vendor's files and variables have
    no say, since the hosts that a plan names are not theirs to change.

    Args:
        way_out: The proxy to go through; None: the one that the environment names, as in `link`.
        origin: The service's URL without a bucket.
    """
    # A client costs some 50 ms. A forked child has none of the threads that serve its parent's.
    return _made(os.getpid(), keys, (region, origin), way_out, by_path, pays)


@lru_cache(maxsize=32)
def _made(
    _pid: int,
    keys: Callable[[], Keys],
    place: tuple[str, str],
    way_out: WayOut | None,
    by_path: bool,
    pays: bool,
) -> Any:
    region, origin = place
    trust = True if way_out is None else way_out.ca_file
    proxies = None if way_out is None else dict.fromkeys(("http", "https"), way_out.url)
    system = _exact()(
        session=_session_of(keys),
        endpoint_url=origin,
        requester_pays=pays,
        client_kwargs={"region_name": region, "verify": trust},
        config_kwargs={
            "s3": {
                "addressing_style": "path" if by_path else "virtual",
                "use_accelerate_endpoint": False,
            },
            "connect_timeout": TIMEOUT_S,
            "http_session_cls": _sender(),
            "proxies": proxies,
            "read_timeout": TIMEOUT_S,
            # Other stores know no checksums but the signed one of the body.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "retries": {"total_max_attempts": 1},
            "use_dualstack_endpoint": False,
            "use_fips_endpoint": False,
        },
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    system.retries = 1
    return system


def file_system_errors() -> tuple[type[Exception], ...]:
    """Return what a file system raises on purpose."""
    from botocore.exceptions import BotoCoreError, ClientError
    from s3fs.core import S3_RETRYABLE_ERRORS

    return (OSError, BotoCoreError, ClientError, *S3_RETRYABLE_ERRORS)


@cache
def _exact() -> Any:
    import s3fs

    class Exact(s3fs.S3FileSystem):  # type: ignore[misc]  # it ships no types
        """Keys are what they say: none is cut off at `?versionId=`."""

        def split_path(self, path: str) -> tuple[str, str, None]:
            bucket, _, key = path.partition("/")
            return bucket, key, None

    return Exact


@cache
def _sender() -> Any:
    from aiobotocore.httpsession import AIOHTTPSession

    class Sender(AIOHTTPSession):  # type: ignore[misc]  # it ships no types
        """Sends a request once, over TLS that trusts what the rest of batuta does."""

        async def _get_session(self, proxy_url: str | None) -> Any:
            session = await super()._get_session(proxy_url)
            # aiohttp takes a PUT for something that may be sent again when its answer was lost;
            # one that creates exclusively would then find itself in the way.
            session._retry_connection = False
            return session

        def _build_verify_context(self) -> ssl.SSLContext:
            if not isinstance(self._verify, str):
                return ssl.create_default_context()
            # The library would read the gateway's authorities four times for each client.
            return _trust(self._verify)

    return Sender


@lru_cache(maxsize=4)
def _trust(ca_file: str) -> ssl.SSLContext:
    """Trust the authorities in a file that stays as it is; host names are checked."""
    return ssl.create_default_context(cafile=ca_file)


@cache
def _loader() -> Any:
    from botocore.loaders import create_loader

    return create_loader()


def _session_of(keys: Callable[[], Keys]) -> Any:
    from aiobotocore.credentials import AioCredentials
    from aiobotocore.session import AioSession
    from botocore.credentials import ReadOnlyCredentials

    class Current(AioCredentials):  # type: ignore[misc]  # it ships no types
        """The keys of now; renewing them may take a request, which must not stop the others."""

        async def get_frozen_credentials(self) -> Any:
            return ReadOnlyCredentials(*await asyncio.to_thread(keys))

    class Provider:
        async def load_credentials(self) -> Any:
            return Current("", "")

    nothing = (None, None, os.devnull, None)
    session = AioSession(
        {
            "profile": (None, None, None, None),
            "config_file": nothing,
            "credentials_file": nothing,
        }
    )
    session.register_component("credential_provider", Provider())
    # Reading the description of S3 is most of what a client costs; all share it.
    session.register_component("data_loader", _loader())
    return session
