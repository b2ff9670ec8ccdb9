"""What a choice about drift is said to cost, in the words of the dataset at hand."""

import pytest

from batuta.core.selection import source_text
from batuta.core.shape import Committed, shape
from batuta.model.address import parse_address
from batuta.model.resource import (
    Dataset,
    DriftChoice,
    DriftPolicy,
    IncrementalSpec,
    Mode,
    SourcePart,
    SourceSpec,
)
from batuta.model.table import Column, TableSchema

ID, AMOUNT = Column("id", "int64", False), Column("amount", "int64", False)
NOTE = Column("note", "string", True)
FORCE = DriftPolicy(
    additive=DriftChoice.FORCE, widening=DriftChoice.FORCE, breaking=DriftChoice.FORCE,
    semantic=DriftChoice.FORCE,
)  # fmt: skip
PARTS = tuple(SourcePart(address=parse_address(text)) for text in ("a/", "b/"))
MERGE = Dataset(
    name="m", source=SourceSpec(merge=PARTS, on=("id",)), destination=parse_address("out/")
)
ONE = Dataset(
    name="m", source=SourceSpec(address=parse_address("a/")), destination=parse_address("out/")
)
KEYED = Dataset(
    name="m", source=ONE.source, destination=ONE.destination, mode=Mode.INCREMENTAL,
    incremental=IncrementalSpec(cursor="id", key=("id",)),
)  # fmt: skip


def said(dataset: Dataset, *columns: Column) -> str:
    before = TableSchema((ID, AMOUNT, NOTE))
    committed = Committed(schema=before, source=source_text(dataset.source), version="1")
    (found,) = shape(dataset, TableSchema(columns), "2", committed, FORCE).diagnostics
    return f"{found.code} {found.detail} {found.fix}"


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (ONE, ["it is written as nulls, and the values", "the source's schema"]),
        (KEYED, ["in the rows that are read", "rows that are not read keep theirs"]),
        (MERGE, ["no source has it any more", "the sources have together"]),
    ],
    ids=["one source", "merged by key into what is there", "several sources"],
)
def test_a_column_that_is_gone_and_is_forced(dataset: Dataset, words: list[str]) -> None:
    text = said(dataset, ID, AMOUNT)
    assert text.startswith("DRF103")
    assert all(each in text for each in words)


def test_a_column_that_one_of_several_sources_lacks_and_is_forced() -> None:
    text = said(MERGE, ID, Column("amount", "int64", True), NOTE)
    assert "rows that have no value for it, as all of a source that lacks it, stop the sync" in text
    assert "lose digits" not in text


def test_a_required_column_that_no_source_has_is_not_forced() -> None:
    before = TableSchema((ID, AMOUNT))
    committed = Committed(schema=before, source=source_text(MERGE.source), version="1")
    found = shape(MERGE, TableSchema((ID,)), "2", committed, FORCE).diagnostics
    assert [d.code for d in found] == ["DRF103", "DRF104"]
    assert "which no source has" in found[1].detail
