"""Rows that stay in a dataset are as secret as when they came, whatever its source holds by now."""

from typing import Any

import pyarrow as pa

from tests.acceptance.labels.shell import Shell

YESTERDAY = pa.table({"id": pa.array([1, 2], pa.int64()), "name": ["secret", "secret"]})
TODAY = pa.table({"id": pa.array([3], pa.int64()), "name": ["harmless"]})


def datasets(tier: str) -> dict[str, Any]:
    """`first` holds what its source holds, `all` what it ever held, `leak` reads that."""
    common = {"format": "parquet"}
    return {
        "first": common | {
            "source": {"address": "in/", "origin": {"tier": tier}}, "destination": "first/",
            "tier": tier,
        },
        "all": common | {
            "source": {"dataset": "first"}, "destination": "all/", "tier": "FullySovereign",
            "mode": "Incremental", "incremental": {"cursor": "id", "key": ["id"]},
        },
        "leak": common | {
            "source": {"dataset": "all"}, "destination": "out/", "tier": "PrivateCloud",
        },
    }  # fmt: skip


def test_what_is_harmless_today_does_not_declassify_what_was_secret_yesterday(
    shell: Shell,
) -> None:
    shell.table("in", YESTERDAY)
    shell.write(datasets("FullySovereign"))
    shell.well("apply", "--yes", "--exclude", "leak")
    shell.table("in", TODAY)
    shell.write(datasets("PrivateCloud"))
    for _ in range(2):  # what only changes upstream is planned for with the next plan
        shell.well("apply", "--yes", "--exclude", "leak")
    assert "No changes" in shell.well("plan", "--exclude", "leak")

    assert shell.rows("all")["id"].to_pylist() == [1, 2, 3]
    assert "FullySovereign" in shell.well("label", "show", "all")
    assert shell("apply", "--yes", "--select", "leak") == 14, shell.said
    assert "SOV105" in shell.said
    assert not (shell.folder / "out").exists()
    # The way out is to hold only what the source holds.
    shell.well("apply", "--yes", "--resync", "all", "--exclude", "leak")
    shell.well("apply", "--yes", "--select", "leak")
    assert shell.rows("leak")["id"].to_pylist() == [3]
