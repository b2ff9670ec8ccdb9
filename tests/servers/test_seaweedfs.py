"""The S3 server of the run behaves as S3 where batuta depends on it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.conftest import Place
from tests.servers.faultproxy import FaultProxy, Rule
from tests.servers.seaweedfs import SeaweedFS

pytestmark = pytest.mark.server


def _code(error: ClientError) -> tuple[int, str]:
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def test_objects_are_written_listed_and_read(bucket: Place) -> None:
    client = bucket.server.client()
    for name in ("a", "a/b", "c"):
        client.put_object(Bucket=bucket.bucket, Key=bucket.prefix + name, Body=name.encode())

    listed = client.list_objects_v2(Bucket=bucket.bucket, Prefix=bucket.prefix)
    got = client.get_object(Bucket=bucket.bucket, Key=bucket.prefix + "a/b")["Body"]

    assert [each["Key"] for each in listed["Contents"]] == [
        bucket.prefix + n for n in ("a", "a/b", "c")
    ]
    assert got.read() == b"a/b"
    client.close()


def test_an_exclusive_create_has_one_winner(bucket: Place) -> None:
    client = bucket.server.client()

    def create(body: int) -> int:
        try:
            client.put_object(
                Bucket=bucket.bucket,
                Key=bucket.prefix + "entry.json",
                Body=b"%d" % body,
                IfNoneMatch="*",
            )
        except ClientError as error:
            return _code(error)[0]
        return 200

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(create, range(8)))

    assert statuses == [200] + [412] * 7
    client.close()


def test_reader_keys_do_not_write(bucket: Place) -> None:
    client = bucket.server.client(reader=True)

    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=bucket.bucket, Key=bucket.prefix + "x", Body=b"")

    assert _code(refused.value) == (403, "AccessDenied")
    client.close()


def test_signed_requests_pass_the_fault_proxy_and_a_lost_answer_leaves_the_object(
    bucket: Place,
) -> None:
    key = bucket.prefix + "entry.json"
    with FaultProxy.before(bucket.server.endpoint) as proxy:
        proxy.add(Rule("^PUT ", lose_answer=True))
        client = bucket.server.client(endpoint=proxy.endpoint)

        with pytest.raises(ConnectionClosedError):
            client.put_object(Bucket=bucket.bucket, Key=key, Body=b"1", IfNoneMatch="*")
        with pytest.raises(ClientError) as second:
            client.put_object(Bucket=bucket.bucket, Key=key, Body=b"2", IfNoneMatch="*")
        kept = client.get_object(Bucket=bucket.bucket, Key=key)["Body"].read()
        client.close()

    assert _code(second.value)[0] == 412
    assert kept == b"1"


def test_a_bucket_is_not_made_by_writing_to_it(seaweedfs: SeaweedFS) -> None:
    client = seaweedfs.client()

    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket="nobody-made-this", Key="x", Body=b"")

    assert _code(refused.value) == (404, "NoSuchBucket")
    client.close()
