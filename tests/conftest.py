"""What all tests share: servers started once for a run, and honest skips for missing kernel parts.

`BATUTA_TESTS_NO_SKIP=1` turns every skip for a missing kernel part into a failure.
"""

import os
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from tests import kernel
from tests.kernel import MISSING, requires_kernel
from tests.servers._base import keeper
from tests.servers.seaweedfs import SeaweedFS

__all__ = ["requires_kernel"]

RUN_FOLDER = "BATUTA_TESTS_RUN_FOLDER"
RUN_PID = "BATUTA_TESTS_RUN_PID"
WORKER = "PYTEST_XDIST_WORKER"

# The same examples in every run: a red test is red for everybody. `make test` is no lottery.
hypothesis.settings.register_profile(
    "batuta",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("batuta")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder through which the workers of this run share servers."""
    if not _is_worker():
        os.environ[RUN_FOLDER] = tempfile.mkdtemp(prefix="batuta-tests-")
        os.environ[RUN_PID] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the run has started."""
    if not _is_worker() and (folder := os.environ.pop(RUN_FOLDER, None)) is not None:
        keeper.stop_all(Path(folder))
        shutil.rmtree(folder, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test by the name of the kernel part it lacks, or fail it where none may be skipped."""
    for mark in item.iter_markers("kernel"):
        if (name := kernel.missing(mark.args)) is not None:
            if os.environ.get(kernel.NO_SKIP) == "1":
                pytest.fail(f"{MISSING}{name}, and {kernel.NO_SKIP}=1", pytrace=False)
            pytest.skip(f"{MISSING}{name}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which parts of the kernel were missing, and how many tests that cost."""
    reasons = [report.longrepr for report in terminalreporter.stats.get("skipped", [])]
    texts = [str(reason[2]) for reason in reasons if isinstance(reason, tuple)]
    names = [text.partition(MISSING)[2] for text in texts if MISSING in text]
    if names:
        each = ", ".join(f"{name} ({names.count(name)})" for name in sorted(set(names)))
        terminalreporter.write_line(f"{len(names)} skipped for missing kernel parts: {each}")


def _is_worker() -> bool:
    return WORKER in os.environ


def _shared(name: str) -> dict[str, str]:
    return keeper.shared(name, Path(os.environ[RUN_FOLDER]), int(os.environ[RUN_PID]))


@dataclass(frozen=True, slots=True)
class Place:
    """Room for one test in an S3 server: nobody else uses keys under this prefix."""

    server: SeaweedFS
    bucket: str
    prefix: str  # ends with a slash

    @property
    def url(self) -> str:
        """The place as an address, without a slash at its end."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@pytest.fixture(scope="session")
def seaweedfs() -> SeaweedFS:
    """The S3 server of this run."""
    return SeaweedFS(**_shared("seaweedfs"))


@pytest.fixture(scope="session")
def _bucket(seaweedfs: SeaweedFS) -> str:
    return seaweedfs.make_bucket(f"tests-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def bucket(seaweedfs: SeaweedFS, _bucket: str) -> Place:
    """An empty place in a bucket. A test that needs a whole one asks `seaweedfs.make_bucket`."""
    return Place(seaweedfs, _bucket, f"{uuid.uuid4().hex[:12]}/")
