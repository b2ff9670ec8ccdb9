"""The examples do what they are examples of: each is valid, and those with data apply and rest."""

import shutil
from pathlib import Path

import pytest

from tests.acceptance.laws.bench import Bench

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
# bring-home has a README that is typed as it stands, in test_bring_home.
WITH_DATA = sorted(
    path.parent.name for path in EXAMPLES.glob("*/data") if not (path.parent / "README.md").exists()
)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_example_is_valid(tmp_path: Path, name: str) -> None:
    bench = Bench(tmp_path / name)
    shutil.copytree(EXAMPLES / name, bench.folder)

    done = bench.run("validate")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", WITH_DATA)
def test_an_example_with_data_is_applied_and_then_at_rest(tmp_path: Path, name: str) -> None:
    bench = Bench(tmp_path / name)
    shutil.copytree(EXAMPLES / name, bench.folder)

    assert not bench.settle().plan.has_changes


def test_the_examples_with_data_are_these() -> None:
    assert WITH_DATA == ["egress", "environments", "incremental"]
