"""What acceptance tests share: workers that are forked, where walls are not what is tested."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batuta.runtime.sandbox import levels
from batuta.runtime.worker import warden
from tests.acceptance import nursery

ROOT = Path(__file__).resolve().parents[2]
FORKED = {"laws", "labels", "repair"}
"""The folders whose tests in this process have forked workers without walls."""
FORKED_TOO = {"test_clock", "test_network", "test_source", "test_two_runs"}
"""The modules in `faults` that are about the world around a run, not about its workers."""
WALLED = {"test_determinism", "test_matrix", "test_memory", "test_policy_first", "test_secrets"}
"""The modules in them that have the real program and the walls of this machine all the same."""


@pytest.fixture(scope="session")
def _nursery() -> Iterator[socket.socket]:
    """A way to a process that forks workers; it ends with the session."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.nursery", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    yield ours
    ours.close()
    process.wait(30)


@pytest.fixture(scope="module", autouse=True)
def _forked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fork the workers of these modules' tests, and the programs that `Bench.run` runs."""
    path = request.path
    also = path.parent.name == "faults" and path.stem in FORKED_TOO
    if (path.parent.name not in FORKED and not also) or path.stem in WALLED:
        yield
        return
    asked = request.getfixturevalue("_nursery")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warden, "subprocess", nursery.popen(asked))
        patch.setattr(levels, "choose", nursery.advisory)
        patch.setattr(nursery, "of_module", asked)
        yield
