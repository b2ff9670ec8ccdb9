"""The gateway between a real worker and the internet of the tests; `Internet.call` runs these.

The rules are those of the table's fixture. Names are in a table, addresses are real ones of the
world, and the worker has no resolver: what it reaches, it reaches through the gateway.
"""

import socket
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from batuta.runtime.egress.anchors import Anchor
from batuta.runtime.egress.audit_read import rows, verify
from batuta.runtime.egress.session import INSIDE, GatewayRun, client_environment
from batuta.runtime.sandbox.confinement import Confined, Level
from tests.attacks.far_side import GOOD
from tests.attacks.gateway_lab import IDENTITY, LIMITS, RULES, policy, rule, table
from tests.attacks.harness import run_in_worker
from tests.attacks.scenes import confinement, places

# What a worker does for a row: a tunnel, TLS in it, a request; `result` says how far it came.
ATTEMPT = """
import socket, ssl
target, sni, ask, address = {facts!r}
opened = socket.create_connection(address, 10)
opened.sendall(("CONNECT " + target + " HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n").encode())
head = b""
while not head.endswith(b"\\r\\n\\r\\n") and (byte := opened.recv(1)):
    head += byte
result = head.split(b" ", 2)[1].decode()
if result == "200":
    context = ssl._create_unverified_context()
    try:
        speaking = context.wrap_socket(opened, server_hostname=sni)
        speaking.sendall(ask.encode())
        got = b""
        while b"\\r\\n\\r\\n" not in got and (more := speaking.recv(65536)):
            got += more
        result = got.split(b" ", 2)[1].decode() if got else "nothing"
    except OSError as error:
        result = getattr(error, "reason", None) or type(error).__name__
opened.close()
"""
NAMES = {"api.good.test": (GOOD,), "pull.good.test": (GOOD,), "slow.good.test": (GOOD,)}


def attempt(row: dict[str, Any], address: tuple[str, int] = INSIDE) -> str:
    """Return the code that makes the attempt of a row."""
    request = row["request"]
    target = request["connect"].replace("\\r\\n", "\r\n")
    sni = request.get("sni", "api.good.test")
    ask = f"GET /{row['id']} HTTP/1.1\r\nHost: {sni}\r\nConnection: close\r\n\r\n"
    return ATTEMPT.format(facts=(target, sni, ask, address))


def through(level: str, ids: list[str], authority: str) -> dict[str, Any]:
    """Make the attempts of some rows in one worker.

    Returns:
        `outcomes` by id, and `log`: the lines of the egress log, which was verified.
    """
    chosen = [row for row in table() if row["id"] in ids]
    names = dict(NAMES)
    allow = list(RULES)
    for row in chosen:
        if row["group"] == "gateway-ip":
            host = row["request"]["connect"].partition(":")[0]
            names[host] = tuple(row["request"]["dns"])
            if host != "cname.good.test":
                allow.append(rule(host))
    with tempfile.TemporaryDirectory(prefix="batuta-gateway-") as folder, places() as place:
        Path(folder).chmod(0o755)
        log = Path(folder) / "egress.jsonl"
        with GatewayRun(
            run_id="run-1", audit_path=log, ca_files=[Path(authority)],
            limits=replace(LIMITS, connect_s=1.0),
            resolver=lambda host, _timeout_s: names.get(host, (GOOD,)),
        ) as run:  # fmt: skip
            outcomes = _attempts(run, Level(level), chosen, (place, policy(*allow)))
            head = run.audit_head
        assert not verify(log, anchors=[Anchor(head, "the run")]).findings
        return {"outcomes": outcomes, "log": [asdict(line) for line in rows(log)]}


def _attempts(
    run: GatewayRun, level: Level, chosen: list[dict[str, Any]], where: tuple[Path, Any]
) -> dict[str, Any]:
    place, made = where
    address, dial = INSIDE, None
    if level is Level.FILTERED:
        door = run.serve_private(worker=IDENTITY, policy=made)
        address, dial = door.address, door.dial
    confined = confinement(place, level, gateway=True, dial=dial)
    confined = replace(
        confined,
        read_paths=(*confined.read_paths, str(run.ca_file)),
        env=dict(confined.env) | client_environment(address, run.ca_file),
    )

    def serve(worker: Confined) -> None:
        if worker.listener is not None:
            run.serve(_own(worker.listener), worker=IDENTITY, policy=made)

    code = {row["id"]: attempt(row, address) for row in chosen}
    told = run_in_worker(code, confined, during=serve)
    assert told.outcomes is not None, told
    return {each.name: asdict(each) for each in told.outcomes}


def _own(listener: socket.socket) -> socket.socket:
    return socket.socket(fileno=listener.detach())
