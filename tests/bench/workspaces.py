"""Workspaces of thousands of one-row datasets, each described by a manifest of 24 lines."""

import shutil
from pathlib import Path

from tests.bench.measure import Sample, batuta, run

FOLDERS = 100
WORKSPACE = """\
apiVersion: batuta.dev/v1
kind: Workspace
metadata: {name: many}
spec:
  manifests: ["datasets/**/*.yaml"]
"""
DATASET = """\
# What the sales teams of one region sold, one file a day.
apiVersion: batuta.dev/v1
kind: Dataset
metadata:
  name: sales-%(number)05d
  tags:
    team: sales
    region: region-%(group)02d
    cost-centre: "%(number)05d"
spec:
  source:
    address: data/%(number)05d.csv
    options:
      header: true
    schema:
      id: int64
  destination: out/%(group)02d/%(number)05d/
  format: parquet
  formatOptions:
    parquet: {compression: zstd, level: 3}
  tier: Standard
  onDrift: {additive: Apply}
  history:
    keep: 30d
    versions: 5
"""


def workspace(folder: Path, count: int) -> Path:
    """Return a workspace of `count` datasets, made once; nothing of it is applied."""
    place = folder / f"datasets-{count}"
    if (place / "ready").exists():
        return place
    shutil.rmtree(place, ignore_errors=True)
    (place / "data").mkdir(parents=True)
    (place / "batuta.yaml").write_text(WORKSPACE)
    for number in range(count):
        group = number % FOLDERS
        path = place / "datasets" / f"{group:02d}" / f"sales-{number:05d}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(DATASET % {"number": number, "group": group})
        (place / "data" / f"{number:05d}.csv").write_text(f"id,name\n{number},row {number}\n")
    (place / "ready").touch()
    return place


def apply_anew(place: Path, *, confined: bool = True) -> Sample:
    """Apply everything, with nothing left of an earlier time."""
    for name in (".batuta", "out"):
        shutil.rmtree(place / name, ignore_errors=True)
    (place / "applied").unlink(missing_ok=True)
    sample = run(batuta("apply", "--yes", confined=confined), cwd=place)
    (place / "applied").touch()
    return sample


def applied(folder: Path, count: int) -> Path:
    """Return a workspace of `count` datasets of which all are applied."""
    place = workspace(folder, count)
    if not (place / "applied").exists():
        apply_anew(place)
    return place
