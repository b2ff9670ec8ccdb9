"""What the tests of walls share."""

from pathlib import Path

import pytest

from tests.acceptance.faults.space import Space


@pytest.fixture
def space(tmp_path: Path) -> Space:
    """An empty workspace."""
    return Space(tmp_path / "space")
