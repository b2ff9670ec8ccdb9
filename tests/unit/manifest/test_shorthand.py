"""A one-line command is a document: its name, its text, and what it parses to."""

import hashlib
import re

import pytest

from batuta.manifest.shorthand import (
    command_document,
    command_name,
    documents_text,
    platform_document,
)
from batuta.model.address import parse_address
from batuta.model.resource import Platform
from batuta.model.tier import Network, Tier
from tests.unit.manifest.cases import desired


def test_a_name_is_the_last_part_and_the_digest_of_the_canonical_destination() -> None:
    digest = hashlib.sha256(b"out/orders").hexdigest()[:8]
    for text in ("out/orders", "./out//orders/", "file:out/orders"):
        assert command_name(parse_address(text)) == f"orders-{digest}"


@pytest.mark.parametrize("text", ["/", ".", "s3://b", "out/ÄÖ ü!/", "x" * 300, "out/A_B.c/", "-"])
def test_a_name_is_always_a_valid_one(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", command_name(parse_address(text)))


def test_the_document_parses_to_what_the_command_said() -> None:
    document = command_document(
        "delta+data/${x}", "out/a b/", format="parquet", spec={"tier": "Standard"}
    )
    (found,) = desired(documents_text(document)).datasets
    assert str(found.source.address) == "delta+data/${x}"
    assert str(found.destination) == "out/a b/"
    assert (found.format, found.tier) == ("parquet", Tier.STANDARD)
    assert found.name == command_name(found.destination)


def test_a_platform_is_written_so_that_it_reads_back() -> None:
    platform = Platform(
        name="aws", type="aws", network=Network.PUBLIC, region="eu", residency=("eu",),
        endpoints=("https://s3.lake.test",), options=(("pathStyle", True),),
        credentials=(("accessKeyId", "env:ID"),),
    )  # fmt: skip
    dataset = command_document("s3://b/a/", "out/a/")
    found = desired(documents_text(platform_document(platform), dataset))
    assert found.platforms == (platform,)
    assert found.datasets[0].source.platform == "aws"


def test_a_destination_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="not empty"):
        command_document("a", "")
