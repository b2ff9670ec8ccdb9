"""Delta tables on a real S3 server: keys for the log, signed addresses for the files."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlparse

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batuta.connectors.delta.client import storage_options
from batuta.connectors.delta.source import DeltaSource
from batuta.model.connector import Connection
from batuta.model.diagnostic import ConnectorError, Failure
from batuta.model.transfer import Input
from tests.conftest import Place
from tests.unit.connectors import delta_tables as tables


def connection(place: Place, secret: str | None = None) -> Connection:
    server = place.server
    client = server.client()

    def sign(objects: Sequence[tuple[str, int, str]]) -> Sequence[Input]:
        found = []
        for address, size, etag in objects:
            bucket, _, key = address.removeprefix("s3://").partition("/")
            url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
            found.append(Input(key=address, url=url, size_bytes=size, validator=etag))
        return found

    return replace(
        tables.CONNECTION,
        options={"endpoint": server.endpoint, "region": server.region, "pathStyle": True},
        secrets={
            "accessKeyId": server.access_key,
            "secretAccessKey": secret or server.secret_key,
        },
        sign=sign,
    )


@pytest.mark.server
def test_a_table_on_s3_is_read_through_signed_addresses(bucket: Place) -> None:
    place = connection(bucket)
    rows = pa.table({"p": ["a b", "50%", "ü/ä", None], "v": [1, 2, 3, 4]})
    options = storage_options(place)
    write_deltalake(f"{bucket.url}/t", rows, partition_by=["p"], storage_options=options)
    source, spec = DeltaSource(place), tables.spec_of(f"{bucket.url}/t")

    state = source.observe(spec, None)
    parts = source.partitions(spec, state, state.units, 1 << 20)
    found = pa.concat_tables([tables.rows_of(part, state) for part in parts])

    assert tables.multiset(found) == tables.multiset(rows)
    assert {urlparse(i.url).scheme for i in source.inputs(state, state.units)} == {"http"}
    assert source.changes(spec, state, state.version) == ()


@pytest.mark.server
def test_a_file_that_was_vacuumed_on_s3_is_named(bucket: Place) -> None:
    place = connection(bucket)
    options = storage_options(place)
    write_deltalake(f"{bucket.url}/t", pa.table({"v": [1]}), storage_options=options)
    client = bucket.server.client()
    listed = client.list_objects_v2(Bucket=bucket.bucket, Prefix=bucket.prefix)["Contents"]
    for key in [entry["Key"] for entry in listed if entry["Key"].endswith(".parquet")]:
        client.delete_object(Bucket=bucket.bucket, Key=key)

    with pytest.raises(ConnectorError) as caught:
        DeltaSource(place).observe(tables.spec_of(f"{bucket.url}/t"), None)

    assert caught.value.diagnostics[0].code == "DLT105"


@pytest.mark.server
def test_a_prefix_without_a_table_says_so(bucket: Place) -> None:
    with pytest.raises(ConnectorError) as caught:
        DeltaSource(connection(bucket)).observe(tables.spec_of(f"{bucket.url}/none"), None)

    assert caught.value.diagnostics[0].code == "DLT101"


@pytest.mark.server
def test_a_wrong_key_is_refused_access_and_not_tried_again(bucket: Place) -> None:
    with pytest.raises(ConnectorError) as caught:
        DeltaSource(connection(bucket, "not-the-secret-key")).observe(
            tables.spec_of(f"{bucket.url}/t"), None
        )

    assert caught.value.diagnostics[0].code == "DLT110"
    assert caught.value.kind is Failure.AUTH
    assert "not-the-secret-key" not in str(caught.value)


def test_storage_options_are_what_the_platform_says_and_nothing_more() -> None:
    bare = storage_options(Connection())
    full = storage_options(
        Connection(
            region="eu-central-1",
            options={"endpoint": "https://s3.corp.test"},
            secrets={"accessKeyId": "a", "secretAccessKey": "b", "sessionToken": "c"},
        )
    )

    assert bare["aws_skip_signature"] == "true"
    assert "aws_access_key_id" not in bare
    assert "aws_skip_signature" not in full
    assert (full["aws_region"], full["aws_session_token"]) == ("eu-central-1", "c")
    assert full["aws_virtual_hosted_style_request"] == "false"
    assert "aws_allow_http" not in full
