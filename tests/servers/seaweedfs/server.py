"""Starting SeaweedFS and talking to it. Its lock installs the program `weed`."""

import contextlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tests.servers._base.process import (
    LOOPBACK,
    TWIN,
    ServerFailedError,
    free_ports,
    running,
    wait_until,
)
from tests.servers._base.venv import program

REGION = "us-east-1"
START_ATTEMPTS = 3
START_TIMEOUT_S = 60.0
# It stops serving at once but then lingers for 15 s; nobody needs its files any more by then.
STOP_TIMEOUT_S = 1.0
BUCKET_TIMEOUT_S = 20.0

ADMIN, READER = ("test", "testtest"), ("ro", "roroRO")
IDENTITIES = {
    "identities": [
        {
            "name": "test",
            "credentials": [{"accessKey": ADMIN[0], "secretKey": ADMIN[1]}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {
            "name": "ro",
            "credentials": [{"accessKey": READER[0], "secretKey": READER[1]}],
            "actions": ["Read", "List"],
        },
    ]
}


@dataclass(frozen=True, slots=True)
class SeaweedFS:
    """A running server, as its clients see it."""

    endpoint: str
    iceberg_endpoint: str
    access_key: str = ADMIN[0]
    secret_key: str = ADMIN[1]
    reader_access_key: str = READER[0]
    reader_secret_key: str = READER[1]
    region: str = REGION

    @classmethod
    @contextlib.contextmanager
    def start(cls, folder: Path) -> Iterator[Self]:
        """Run a server that keeps its files in `folder`; it has ended when the block has."""
        for attempt in range(START_ATTEMPTS):
            with contextlib.ExitStack() as stack:
                try:
                    server = cls._start(stack, folder)
                except ServerFailedError:
                    if attempt == START_ATTEMPTS - 1:
                        raise
                    continue  # somebody took a port between the check and the bind
                yield server
                return

    @classmethod
    def _start(cls, stack: contextlib.ExitStack, folder: Path) -> Self:
        weed = program("seaweedfs", "weed")
        master, volume, filer, s3, iceberg = free_ports(5)
        identities = folder / "s3.json"
        identities.write_text(json.dumps(IDENTITIES))
        # Socket paths have room for about a hundred characters, less than some folders need.
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="weed-"))
        stack.callback(_remove_sockets, (master, volume, filer, s3))
        flags: dict[str, object] = {
            "dir": folder,
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "master.port": master,
            "master.telemetry": "false",  # it reports to its makers unless told not to
            "master.volumeSizeLimitMB": 256,
            "volume.port": volume,
            "volume.max": 1000,
            "volume.preStopSeconds": 0,
            "filer": "true",
            "filer.port": filer,
            "filer.localSocket": f"{sockets}/filer",
            "s3": "true",
            "s3.ip.bind": LOOPBACK,
            "s3.port": s3,
            "s3.config": identities,
            "s3.localSocket": f"{sockets}/s3",
            "s3.autoCreateBucket": "false",  # as at AWS
            "s3.port.iceberg": iceberg,
            "s3.port.lance": 0,
        }
        log = folder / "weed.log"
        env = {"PATH": os.defpath, "HOME": str(folder), "GOMEMLIMIT": "400MiB", "TMPDIR": sockets}
        command: list[str | Path] = [
            weed,
            "-logtostderr",
            "server",
            *(f"-{k}={v}" for k, v in flags.items()),
        ]
        process = stack.enter_context(
            running(command, folder=folder, log=log, env=env, stop_timeout_s=STOP_TIMEOUT_S)
        )
        wait_until(lambda: _answers(s3), process, log=log, timeout_s=START_TIMEOUT_S)
        server = cls(f"http://{LOOPBACK}:{s3}", f"http://{LOOPBACK}:{iceberg}")
        # The port answers before the parts behind it do: a bucket is the proof that all are there.
        server.make_bucket("ready")
        return server

    def settings(self) -> dict[str, str]:
        """Return the strings that make an equal value in another process."""
        return asdict(self)

    def environment(self) -> dict[str, str]:
        """Return the variables from which AWS clients take address and keys."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }

    def client(self, *, reader: bool = False, endpoint: str | None = None, retries: int = 0) -> Any:
        """Return a botocore S3 client, by default with the keys that may do everything.

        Args:
            reader: Take the keys that may only read and list.
            endpoint: Another address, for example that of a fault proxy before this server.
            retries: How often the client itself tries again.
        """
        import botocore.session
        from botocore.config import Config

        key, secret = ADMIN if not reader else READER
        return botocore.session.Session(
            session_vars={"profile": (None, None, None, None)}
        ).create_client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            region_name=self.region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": retries + 1},
                connect_timeout=5,
                read_timeout=30,
            ),
        )

    def make_bucket(self, name: str) -> str:
        """Create the bucket and return its name, of at least three characters, as AWS asks."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client()
        deadline = time.monotonic() + BUCKET_TIMEOUT_S
        while True:
            try:
                client.create_bucket(Bucket=name)
            except (BotoCoreError, ClientError) as error:
                if "BucketAlready" in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return name
            finally:
                client.close()


def _remove_sockets(ports: Iterable[int]) -> None:
    """Remove the gRPC sockets that the server leaves behind; no flag names their place."""
    for port in ports:
        for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port + TWIN}.sock"):
            left.unlink(missing_ok=True)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False
