"""The edge of the program: whatever happens becomes an exit code, and nothing is shown twice."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from batuta.cli import crash
from batuta.cli.app import App
from batuta.cli.main import main
from batuta.model.diagnostic import BatutaError, Diagnostic
from tests.unit.cli.terminal import app_in, written


class Failing(App):
    """An app whose engine cannot be opened, for a reason of the test's choice."""

    failure: BaseException

    def open(self, *, connect: bool = True, declared: bool = False, keeps: bool = True) -> Any:
        raise self.failure


def failing(folder: Path, failure: BaseException) -> Failing:
    plain = app_in(folder)
    app = Failing(out=plain.out, err=plain.err, folder=folder)
    app.failure = failure
    return app


def run(*arguments: str, folder: Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "batuta", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=60, **options
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["plan", "--no-such-flag"],
        ["plan", "--format", "xml"],
        ["data", "sync"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_is_not_understood_ends_with_3(
    arguments: list[str], tmp_path: Path
) -> None:
    app = app_in(tmp_path)
    assert main(arguments, app) == 3
    assert "error[CLI102]" in written(app.err)
    assert "--help" in written(app.err)
    assert written(app.out) == ""


def test_a_diagnostic_ends_with_the_code_of_its_area(tmp_path: Path) -> None:
    finding = Diagnostic(code="SOV101", summary="Refused", detail="Why.", fix="So.")
    app = failing(tmp_path, BatutaError(finding))
    assert main(["plan"], app) == 14
    assert "error[SOV101]: Refused" in written(app.err)


def test_ctrl_c_ends_with_9(tmp_path: Path) -> None:
    app = failing(tmp_path, KeyboardInterrupt())
    assert main(["plan"], app) == 9
    assert written(app.err) == "cancelled\n"


def test_what_the_machine_says_at_any_time_is_no_bug(tmp_path: Path) -> None:
    app = failing(tmp_path, PermissionError(13, "Permission denied", "out/x"))
    assert main(["plan"], app) == 1
    assert "error[CLI111]" in written(app.err)
    assert "out/x: Permission denied" in written(app.err)


def test_a_bug_ends_with_70_and_shows_nothing_but_where_its_report_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "batuta.yaml").write_text("")
    monkeypatch.setenv("LAKE_SECRET", "s3cr3t-value")
    failure = RuntimeError("s3cr3t-value at https://u:hunter22@h.test/?X-Amz-Signature=abc123")
    app = failing(tmp_path, failure)
    assert main(["plan", "--env", "prod"], app) == 70
    said = written(app.err)
    match = re.fullmatch(r"batuta has a bug: report ([0-9a-f]{12}), written to (.+)\n", said)
    assert match is not None
    path = Path(match[2])
    assert path == tmp_path / ".batuta" / "reports" / f"{match[1]}.txt"
    assert path.stat().st_mode & 0o077 == 0
    text = path.read_text()
    assert "RuntimeError" in text
    assert "'plan', '--env', 'prod'" in text
    for secret in ("s3cr3t-value", "hunter22", "abc123"):
        assert secret not in text
        assert secret not in said


def test_a_report_that_cannot_be_written_is_still_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    app = failing(tmp_path, RuntimeError())
    assert main(["plan"], app) == 70
    assert "could not be written" in written(app.err)


@pytest.mark.parametrize(
    "text",
    [
        "password=CANARY9",
        "api_key: 'CANARY9'",
        "Authorization: Bearer CANARY9CANARY9",
        "s3://key:CANARY9@h.test/",
        "https://h.test/?a=1&sig=CANARY9",
        "-----BEGIN " + "PRIVATE KEY-----\nCANARY9\n-----END " + "PRIVATE KEY-----",
    ],
)
def test_reports_hold_no_secrets_in_any_usual_spelling(text: str) -> None:
    assert "CANARY9" not in crash.redact(text, {})


def test_version_and_help_import_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from batuta.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'pydantic', 'pyarrow', 'rich', 'httpx', 'numpy', 'msgspec', 'yaml', 'sqlite3'};"
        "print(sorted(heavy & set(sys.modules)), 'batuta.model.plan' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["batuta 0.1.0", "[] False"]
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "pydantic" not in done.stdout.splitlines()[-1]
    assert "pyarrow" not in done.stdout.splitlines()[-1]


def test_explaining_a_code_imports_neither_arrow_nor_pydantic(tmp_path: Path) -> None:
    code = (
        "import sys; from batuta.cli.main import main; main(['explain', 'CLI101']);"
        "print(sorted({'pydantic', 'pyarrow', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


def test_the_reader_of_a_pipe_may_leave_without_any_noise(tmp_path: Path) -> None:
    command = f"{sys.executable} -m batuta explain --list | head -n 1"
    for _ in range(3):
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert re.fullmatch(r"[A-Z]{3}\d{3}  .+\n", done.stdout)


def _writer_of(fifo: Path) -> int:
    """Open a pipe for writing as soon as somebody reads it: then the command is under way."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError):  # ENXIO: nobody reads it yet
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    raise AssertionError("nobody reads it")


def test_sigterm_ends_a_waiting_command_with_9(tmp_path: Path) -> None:
    fifo = tmp_path / "batuta.yaml"
    os.mkfifo(fifo)  # reading it waits for a writer that never writes
    with subprocess.Popen(
        [sys.executable, "-m", "batuta", "fmt", "batuta.yaml"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        writer = _writer_of(fifo)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    os.close(writer)
    assert process.returncode == 9
    assert "Traceback" not in said


def test_help_alone_succeeds(tmp_path: Path) -> None:
    done = run(folder=tmp_path)
    assert done.returncode == 0
    assert "plan" in done.stdout
