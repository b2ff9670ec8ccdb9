"""Secrets stay where they are: whatever is planned, done, refused or broken, none is written."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.acceptance.laws import sources
from tests.acceptance.laws.bench import Bench, document, lake
from tests.conftest import Place
from tests.plain import plain_policy

CANARY = "cAnArY"
# Four places a secret comes from. Each value is found by the one word in it.
VARIABLE = f"{CANARY}-0123456789abcdef-variable"
FILE = f"{CANARY}+/fedcba9876543210/file"
COMMAND = f"{CANARY}=deadbeef0000=command"
UNUSED = f"{CANARY}-token-that-nobody-asked-for"


def everything_below(folder: Path) -> list[tuple[str, bytes]]:
    return [(str(p), p.read_bytes()) for p in folder.rglob("*") if p.is_file()]


def assert_no_canary(places: list[tuple[str, bytes]], allowed: set[str]) -> None:
    word = CANARY.encode()
    spelled = [word, word.hex().encode(), CANARY.encode("utf-16-le")]
    found = [
        name
        for name, content in places
        if name not in allowed and any(each in content for each in spelled)
    ]
    assert found == []


def unpacked(path: Path) -> bytes:
    """All values of a database: pages that are still in its journal as well."""
    with sqlite3.connect(path) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'")
        rows = [database.execute(f"select * from {name}").fetchall() for (name,) in tables]
    return repr(rows).encode()


@pytest.mark.server
def test_a_secret_that_is_used_is_written_nowhere(
    tmp_path: Path, bucket: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real keys of a real store, over plans, runs, failures and all that they leave behind."""
    key_id, secret = bucket.server.access_key, f"{bucket.server.secret_key}"
    monkeypatch.setenv("LAWS_KEY_ID", key_id)
    keys = tmp_path / "keys"
    keys.write_text(secret + "\n")
    keys.chmod(0o600)
    platform, policy = lake(bucket)
    platform["spec"]["credentials"]["secretAccessKey"] = f"file:{keys}"
    sources.on_s3(sources.parquet)(tmp_path / "ws/t", bucket)
    sources.delta_s3(tmp_path / "ws/d", bucket)
    bench = Bench(tmp_path / "ws", others=[platform, policy])
    bench.write(
        {
            "t": {"source": f"{bucket.url}/t/", "destination": f"{bucket.url}/out/t/"},
            "d": {"source": f"delta+{bucket.url}/d", "destination": "out/d/"},
            "gone": {"source": f"{bucket.url}/gone/", "destination": "out/gone/"},
        }
    )

    said = [
        bench.run("plan", "--out", "plan.json", "--format", "json"),
        bench.run("apply", "--yes", "--events", "events.jsonl"),
        bench.run("runs"),
        bench.run("state", "list"),
        bench.run("render"),
        bench.run("data", "log", "t"),
        bench.run("drift"),
    ]

    assert bench.rows("d").num_rows == sources.ROWS.num_rows
    screens = [(str(each.args), (each.stdout + each.stderr).encode()) for each in said]
    databases = [(str(p), unpacked(p)) for p in (bench.folder / ".batuta").glob("*.db")]
    signature = b"X-Amz-Signature="
    for name, content in everything_below(bench.folder) + screens + databases:
        assert secret.encode() not in content, name
        assert signature not in content, name


class Echo(BaseHTTPRequestHandler):
    """A service that refuses, and repeats in its answer all that it was asked."""

    def answer(self) -> None:
        asked = escape(f"{self.path} {dict(self.headers)}")
        body = f"<Error><Code>AccessDenied</Code><Message>{asked}</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def echo() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, echo: str) -> Bench:
    """A workspace whose platform has canaries for keys, from every kind of reference."""
    monkeypatch.setenv("LAWS_KEY_ID", VARIABLE)
    monkeypatch.setenv("LAWS_UNUSED_TOKEN", UNUSED)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", UNUSED)
    keys = tmp_path / "keys"
    keys.write_text(FILE)
    keys.chmod(0o600)
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\nprintf %s '{COMMAND}'\n")
    tool.chmod(0o700)
    platform = document(
        "Platform", "lake",
        {
            "type": "aws", "network": "OnPrem", "cidrs": ["127.0.0.0/8"],
            "endpoints": [echo],
            "credentials": {
                "accessKeyId": "env:LAWS_KEY_ID", "secretAccessKey": f"file:{keys}",
                "sessionToken": f"command:{tool}",
            },
            "aws": {"endpoint": echo, "pathStyle": True},
        },
    )  # fmt: skip
    sources.parquet(tmp_path / "ws/t", None)
    bench = Bench(tmp_path / "ws", others=[platform, plain_policy(echo)])
    bench.write(
        {
            "down": {"source": "t/", "destination": "s3://bucket/out/", "format": "ald"},
            "up": {"source": "s3://bucket/in/", "destination": "out/", "format": "files"},
            "table": {"source": "delta+s3://bucket/t", "destination": "out-t/"},
        }
    )
    return bench


def test_a_canary_appears_on_no_screen_and_in_no_file(planted: Bench) -> None:
    """The endpoint refuses everything and repeats what it was asked, keys and all."""
    said = [
        planted.run("plan", "--out", "plan.json"),
        planted.run("plan", "--format", "json"),
        planted.run("plan", "--format", "markdown"),
        planted.run("apply", "--yes", "--events", "events.jsonl"),
        planted.run("validate"),
        planted.run("render"),
        planted.run("drift"),
        planted.run("data", "cat", "up"),
        planted.run("data", "verify", "s3://bucket/out/"),
        planted.run("state", "rebuild", "--yes"),
        planted.run("runs"),
    ]

    screens = [(str(each.args), (each.stdout + each.stderr).encode()) for each in said]
    assert any("AWS" in each.stdout + each.stderr for each in said)
    databases = [(str(p), unpacked(p)) for p in (planted.folder / ".batuta").glob("*.db")]
    assert_no_canary(everything_below(planted.folder) + screens + databases, set())


def test_a_canary_is_taken_out_of_the_report_of_a_bug(planted: Bench) -> None:
    """A fault with the secret in its own text: the report and the screen have it taken out."""
    code = (
        "import sys, batuta.runtime.engine as e, batuta.cli.main as m\n"
        f"def broken(*a, **k): raise ZeroDivisionError('with {VARIABLE} and ' + {UNUSED!r})\n"
        "e.Engine.plan = broken\n"
        "sys.argv = ['batuta', 'plan']\n"
        "sys.exit(m.main())\n"
    )
    (planted.folder.parent / "broken.py").write_text(code)
    done = subprocess.run(
        [sys.executable, str(planted.folder.parent / "broken.py")], cwd=planted.folder,
        capture_output=True, check=False, env=dict(os.environ),
    )  # fmt: skip

    reports = list((planted.folder / ".batuta/reports").glob("*.txt"))
    assert done.returncode == 70
    assert len(reports) == 1
    assert "ZeroDivisionError" in reports[0].read_text()
    screens = [("screen", done.stdout + done.stderr)]
    assert_no_canary(everything_below(planted.folder) + screens, set())


def test_a_secret_in_a_manifest_is_refused_and_not_repeated(planted: Bench) -> None:
    """A literal in place of a reference: the message points at it and does not show it."""
    path = planted.folder / "batuta.yaml"
    path.write_text(path.read_text().replace("env:LAWS_KEY_ID", f"{CANARY}-literal"))

    done = planted.run("plan")
    plan = planted.run("validate")

    assert done.returncode == 3
    for each in (done, plan):
        assert f"{CANARY}-literal" not in each.stdout + each.stderr, each.stderr


@pytest.mark.parametrize("flag", ["--token", "--password", "--secret-key", "--var=password"])
def test_a_secret_in_the_arguments_is_refused_and_not_repeated(planted: Bench, flag: str) -> None:
    joined = f"{flag}={CANARY}-argument"
    done = planted.run("plan", joined)

    assert done.returncode in (2, 3), done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_a_key_file_that_others_can_read_is_refused(planted: Bench) -> None:
    (planted.folder.parent / "keys").chmod(0o644)

    done = planted.run("plan")

    assert "SEC101" in done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr
