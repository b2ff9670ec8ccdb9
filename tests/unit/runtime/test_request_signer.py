"""The driver signs for workers what their stand-ins signed, and nothing else."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from batuta.connectors.aws.wire import Bucket
from batuta.model.address import parse_address
from batuta.model.canonical import Json
from batuta.model.connector import Connection
from batuta.model.diagnostic import BatutaError
from batuta.model.log import UnitRef
from batuta.model.request_signing import HttpRequest, Misused
from batuta.model.resource import Platform
from batuta.model.tier import Network
from batuta.model.transfer import Input, Partition, Segment
from batuta.runtime import request_signer as module
from batuta.runtime.connections import Connections
from batuta.runtime.request_signer import RequestSigner

ENDPOINT = "http://127.0.0.1:8333"
ENVIRONMENT = {"LAKE_ID": "AKLAKE", "LAKE_KEY": "lake", "MINE_ID": "AKMINE", "MINE_KEY": "mine"}
RAW = parse_address("s3://lake/raw/")


def _platform(name: str, variable: str) -> Platform:
    return Platform(
        name=name, type="aws", network=Network.ON_PREM, region="eu-west-1",
        options=(("endpoint", ENDPOINT), ("pathStyle", True)),
        credentials=(
            ("accessKeyId", f"env:{variable}_ID"), ("secretAccessKey", f"env:{variable}_KEY"),
        ),
    )  # fmt: skip


@pytest.fixture
def environment() -> dict[str, str]:
    return dict(ENVIRONMENT)


@pytest.fixture
def signer(tmp_path: Path, environment: dict[str, str]) -> RequestSigner:
    platforms = {"lake": _platform("lake", "LAKE"), "mine": _platform("mine", "MINE")}
    return RequestSigner(Connections(platforms=platforms, environment=environment, root=tmp_path))


def _stand_in(
    signer: RequestSigner, platform: str = "lake", address: str = "s3://lake/raw/"
) -> str:
    name = signer.stand_in(parse_address(address), platform)
    assert name is not None
    return name


def _input(name: str, key: str = "raw/a.csv") -> Input:
    """What a control worker signed with a stand-in."""
    secrets = {"accessKeyId": name, "secretAccessKey": name}
    options: Mapping[str, Json] = {"endpoint": ENDPOINT, "pathStyle": True}
    bucket = Bucket(Connection(secrets=secrets, options=options, region="eu-west-1"), "lake")
    return Input(key="a.csv", url=bucket.sign("GET", key), size_bytes=1, validator='"e"')


def _key_of(found: Input) -> str:
    return parse_qs(urlsplit(found.url).query)["X-Amz-Credential"][0].partition("/")[0]


def test_each_platform_and_bucket_has_a_stand_in_of_its_own(signer: RequestSigner) -> None:
    lake = _stand_in(signer)
    assert _stand_in(signer, address="s3://lake/other/") == lake
    others = {_stand_in(signer, "mine"), _stand_in(signer, address="s3://pond/raw/")}
    assert len({lake, *others}) == 3
    assert signer.stand_in(parse_address("data/"), None) is None


def test_a_worker_is_handed_the_stand_in_and_no_key(signer: RequestSigner) -> None:
    access, _ = signer.connections.access(RAW, "lake")
    assert "AKLAKE" in access.secrets.values()

    handed = signer.disguised(RAW, access, _stand_in(signer))

    assert set(handed.secrets) == {"accessKeyId", "secretAccessKey"}
    assert not set(handed.secrets.values()) & set(ENVIRONMENT.values())
    assert replace(handed, secrets=access.secrets) == access


def test_inputs_are_signed_with_the_keys_of_their_own_platform(signer: RequestSigner) -> None:
    lake, mine = _input(_stand_in(signer)), _input(_stand_in(signer, "mine"))
    local = Input(key="x", url="file:///x", size_bytes=1, validator="")

    found = signer.inputs([lake, local, mine])

    assert [_key_of(found[0]), _key_of(found[2])] == ["AKLAKE", "AKMINE"]
    assert found[1] == local
    segment = Segment(input=lake, unit=UnitRef("a.csv", "v"))
    (partition,) = signer.partitions([Partition(id="p", segments=(segment,))])
    assert _key_of(partition.segments[0].input) == "AKLAKE"


@pytest.mark.parametrize(
    "url",
    ["https://h:99999/x", "https://[bad/x", "ftp://h/x", "", "http://127.0.0.1:8333/lake/a?x=1"],
)
def test_what_no_stand_in_signed_stays_as_it_is(signer: RequestSigner, url: str) -> None:
    _stand_in(signer)
    found = Input(key="x", url=url, size_bytes=1, validator="")

    assert signer.inputs([found]) == (found,)


def test_a_workers_header_does_not_lead_the_driver_to_another_bucket(signer: RequestSigner) -> None:
    found = replace(_input(_stand_in(signer)), headers=(("Host", "payroll.test"),))

    with pytest.raises(Misused, match="AWS126"):
        signer.inputs([found])


def test_a_stand_in_is_good_for_the_worker_that_has_it(signer: RequestSigner) -> None:
    lake, mine = _stand_in(signer), _stand_in(signer, "mine")
    parts = urlsplit(_input(mine).url)
    request = HttpRequest(
        scheme="http", method="GET", host="127.0.0.1", port=8333,
        target=f"{parts.path}?{parts.query}", headers=(("host", parts.netloc),),
    )  # fmt: skip
    assert "AKMINE" in signer.hook(mine)(request).target

    with pytest.raises(Misused, match="EGR310"):
        signer.hook(lake)(request)

    plain = replace(request, target="/lake/raw/a.csv")
    assert signer.hook(lake)(plain) == plain


def test_keys_that_cannot_be_had_are_no_misuse_and_are_asked_for_again_later(
    signer: RequestSigner, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _input(_stand_in(signer))
    del environment["LAKE_KEY"]
    with pytest.raises(BatutaError, match="SEC101") as failed:
        signer.inputs([found])
    assert not isinstance(failed.value, Misused)

    environment["LAKE_KEY"] = "again"
    monkeypatch.setattr(module, "KEPT_S", 0.0)

    assert _key_of(signer.inputs([found])[0]) == "AKLAKE"


def test_whoever_waits_for_keys_holds_nobody_up_that_needs_others(
    signer: RequestSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, mine = _input(_stand_in(signer)), _input(_stand_in(signer, "mine"))
    asked, go = threading.Event(), threading.Event()
    own = Connections.own

    def slow(self: Connections, address: object, name: str | None, *more: object) -> Connection:
        if name == "lake":
            asked.set()
            assert go.wait(30)
        return own(self, address, name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Connections, "own", slow)
    waiting = threading.Thread(target=signer.inputs, args=([lake],))
    waiting.start()
    assert asked.wait(30)

    assert _key_of(signer.inputs([mine])[0]) == "AKMINE"

    go.set()
    waiting.join(30)
    assert not waiting.is_alive()
