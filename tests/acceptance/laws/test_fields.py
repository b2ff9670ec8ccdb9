"""Every optional field of a Dataset, new and edited: applied, then at rest."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.laws import sources
from tests.acceptance.laws.bench import Bench, document, kinds, multiset, unsettled

FIELDS: dict[str, dict[str, Any]] = {
    "include": {"source": {"address": "t/", "columns": {"include": ["id", "na*"]}}},
    "exclude": {"source": {"address": "t/", "columns": {"exclude": ["price", "day"]}}},
    "rename": {"source": {"address": "t/", "columns": {"rename": {"id": "key"}}}},
    "all-columns": {
        "source": {
            "address": "t/",
            "columns": {"include": ["id", "ok"], "exclude": ["ok"], "rename": {"id": "k"}},
        }
    },
    "files-glob": {"source": {"address": "t/", "files": ["part-0*"]}},
    "origin": {"source": {"address": "t/", "origin": {"tier": "PrivateCloud", "region": "eu"}}},
    "csv-options": {
        "source": {
            "address": "c/",
            "options": {"delimiter": ",", "header": True, "encoding": "utf-8", "null": [""]},
            "schema": {"id": "int32"},
        }
    },
    "history": {"history": {"keep": "30d", "versions": 3}},
    "no-history": {"history": {"keep": "0s"}},
    "residency": {"residency": ["eu"]},
    "protect": {"protect": True},
    "keep": {"onSourceDelete": "Keep"},
    "parquet-options": {
        "format": "parquet", "formatOptions": {"parquet": {"compression": "gzip", "level": 5}},
    },
    "ald-options": {"formatOptions": {"ald": {"layout": "B", "compression": "zstd"}}},
    "budget": {"budget": {"perRun": "20 USD", "perMonth": "30.50 EUR", "maxBytes": "5Gi"}},
    "tags": {"tags": {"team": "sales"}},
    "depends-on": {"dependsOn": ["history"]},
    "reads-another": {"source": {"dataset": "history"}},
    "reads-columns": {"source": {"dataset": "rename", "columns": {"include": ["key"]}}},
    "egress": {"egress": "quiet"},
    "tier": {
        "tier": "FullySovereign",
        "source": {"address": "t/", "origin": {"tier": "FullySovereign"}},
    },
    "tier-weak": {"tier": "PrivateCloud"},
    "on-drift": {"onDrift": {"additive": "Apply", "widening": "Skip", "semantic": "Force"}},
    "deletion-policy": {"deletionPolicy": "Delete"},
    "incremental": {"mode": "Incremental", "incremental": {"cursor": "id", "key": ["id"]}},
    "mirror": {"format": "files", "mode": "Mirror", "onSourceDelete": "Keep"},
    "mirror-glob": {
        "source": {"address": "t/", "files": ["*-1.parquet"]}, "format": "files",
    },
}  # fmt: skip
PLAIN = {"format": "ald"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    sources.parquet(tmp_path / "t", None)
    sources.csv(tmp_path / "c", None)
    quiet = document("EgressPolicy", "quiet", {"allow": [{"host": "*.lake.test"}]})
    # Where a price is not known a budget in money is a warning; here all is local.
    return Bench(tmp_path, workspace={"region": "eu"}, others=[quiet])


def spec(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    source = "c/" if name == "csv-options" else "t/"
    return {"source": source, "destination": f"out/{name}/", **PLAIN, **fields}


def test_a_dataset_with_any_field_rests_once_it_is_applied(bench: Bench) -> None:
    bench.write({name: spec(name, fields) for name, fields in FIELDS.items()})

    again = bench.settle()

    assert unsettled(again) == {}
    assert bench.rows("rename").column_names[0] == "key"
    assert bench.rows("include").column_names == ["id", "name"]
    assert bench.rows("reads-columns").column_names == ["key"]
    assert bench.rows("files-glob").num_rows == 7


def test_an_edit_of_any_field_is_applied_once(bench: Bench) -> None:
    """Each field is added to a plain dataset, then taken away again; each time the plan rests."""
    names = [n for n in FIELDS if not n.startswith("mirror") and n != "reads-columns"]
    bench.write({name: spec(name, {}) for name in names})
    bench.settle()
    bench.write({name: spec(name, FIELDS[name]) for name in names})

    losing = ("include", "exclude", "all-columns", "csv-options")
    bench.settle(allow_data_loss=losing)
    assert unsettled(bench.plan()) == {}

    stay = {"origin", "tier"}  # without them the tier would weaken by itself, which is refused
    bench.write({name: spec(name, FIELDS[name] if name in stay else {}) for name in names})
    bench.settle(allow_data_loss=("rename",))
    assert unsettled(bench.plan()) == {}
    for name in names:
        expected = sources.PLAIN if name == "csv-options" else sources.ROWS
        assert multiset(bench.rows(name), ["id"]) == multiset(expected, ["id"]), name


def test_an_edit_that_would_lose_columns_is_asked_about(bench: Bench) -> None:
    bench.write({"t": spec("t", {})})
    bench.settle()
    bench.write({"t": spec("t", FIELDS["exclude"])})

    assert kinds(bench.plan()) == {"t": "blocked"}
    assert kinds(bench.plan(allow_data_loss=("t",))) == {"t": "evolve-schema"}
