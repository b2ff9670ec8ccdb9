"""An S3 that costs as little as can be: a static nginx that answers GET, HEAD and LIST.

So the clients are what is measured. Pages of a listing hold a thousand keys, as at AWS, and name
the ETags that nginx gives. Without nginx, SeaweedFS serves the same objects; the report says so.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import MIB
from tests.servers._base.process import LOOPBACK, free_ports, running, wait_until
from tests.servers.seaweedfs import SeaweedFS

PAGE = 1000
PIECE = 16 * MIB
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest"}
NGINX = """\
daemon off;
user {user};
pid {folder}/nginx.pid;
error_log stderr error;
worker_processes 2;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  map $args $page {{ default 0; "~[?&]?prefix=[^&]" none;
    "~continuation-token=(?<token>[0-9]+)" $token; }}
  server {{
    listen {address}:{port};
    root {folder}/objects;
    default_type application/octet-stream;
    location ~ ^/(?<bucket>[a-z]+)/?$ {{ default_type application/xml; root {folder};
      try_files /lists/$bucket-$page.xml =404; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `name` is the program behind it."""

    name: str
    endpoint: str
    environment: dict[str, str]


def program() -> str | None:
    """Return where nginx is; as root on a Debian without it, it is installed first."""
    found = _nginx()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing nginx", file=sys.stderr)
        command = ["apt-get", "install", "--yes", "--quiet=2", "nginx-light"]
        with contextlib.suppress(OSError):
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        found = _nginx()
    return found


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def make_bucket(folder: Path, name: str, count: int, size: int) -> None:
    """Write `count` objects of `size` bytes, and the pages of their listing; once."""
    bucket = folder / "objects" / name
    ready = folder / "lists" / f"{name}-{count}-{size}.ready"
    if ready.exists():
        return
    shutil.rmtree(bucket, ignore_errors=True)
    bucket.mkdir(parents=True)
    ready.parent.mkdir(exist_ok=True)
    for old in ready.parent.glob(f"{name}-*"):
        old.unlink()
    block = os.urandom(min(size, PIECE))
    rows = []
    for at in range(count):
        path = bucket / f"object-{at:05}"
        with path.open("wb") as sink:
            for start in range(0, size, len(block)):
                sink.write(at.to_bytes(4, "big") + block[4 : min(len(block), size - start)])
        status = path.stat()
        rows.append(
            f"<Contents><Key>{path.name}</Key><LastModified>{_time(status.st_mtime)}</LastModified>"
            f"<ETag>&quot;{int(status.st_mtime):x}-{size:x}&quot;</ETag><Size>{size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )
    pages = [rows[start : start + PAGE] for start in range(0, count, PAGE)]
    for number, page in enumerate(pages):
        _write_page(ready.parent / f"{name}-{number}.xml", name, page, len(pages) - number)
    _write_page(ready.parent / f"{name}-none.xml", name, [], 1)  # all keys are at the top
    ready.touch()


def _write_page(path: Path, bucket: str, rows: Sequence[str], left: int) -> None:
    """Write one page; `left` counts the pages from this one on."""
    number = int(path.stem.rpartition("-")[2]) if left > 1 else 0
    token = f"<NextContinuationToken>{number + 1}</NextContinuationToken>" if left > 1 else ""
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix></Prefix><KeyCount>{len(rows)}</KeyCount>"
        f"<MaxKeys>{PAGE}</MaxKeys><IsTruncated>{str(left > 1).lower()}</IsTruncated>{token}"
        f"{''.join(rows)}</ListBucketResult>"
    )


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


@contextlib.contextmanager
def serving(folder: Path, buckets: tuple[str, ...]) -> Iterator[Server]:
    """Serve the buckets that `make_bucket` made in `folder`."""
    nginx = program()
    if nginx is None:
        with _seaweedfs(folder, buckets) as server:
            yield server
        return
    (port,) = free_ports(1)
    user = "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, address=LOOPBACK, port=port, user=user))
    log = folder / "nginx.log"
    endpoint = f"http://{LOOPBACK}:{port}"
    command = [nginx, "-p", str(folder), "-c", str(config)]
    with running(command, folder=folder, log=log, env={"PATH": os.defpath}) as process:
        wait_until(lambda: _answers(f"{endpoint}/{buckets[0]}"), process, log=log, timeout_s=10)
        yield Server("nginx", endpoint, {**KEYS, **_endpoint(endpoint)})


@contextlib.contextmanager
def _seaweedfs(folder: Path, buckets: tuple[str, ...]) -> Iterator[Server]:
    home = folder / "seaweedfs"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with SeaweedFS.start(home) as server:
        client = server.client()
        for bucket in buckets:
            server.make_bucket(bucket)
            for path in sorted((folder / "objects" / bucket).iterdir()):
                with path.open("rb") as body:
                    client.put_object(Bucket=bucket, Key=path.name, Body=body)
        yield Server("SeaweedFS", server.endpoint, server.environment())


def _endpoint(endpoint: str) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1"}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
