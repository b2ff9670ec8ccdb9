"""Credentials and hosts as Platforms and policies write them, and what refuses them leads on."""

import pytest

from batuta.manifest.declarations import credentials_written
from tests.unit.manifest.cases import DECLARATIONS, desired, run

LAKE = "apiVersion: batuta.dev/v1\nkind: Platform\nmetadata: {name: lake}\nspec:\n  type: aws\n"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("credentials: {token: 'file:~/t'}", "MAN113", "`accessKeyId`"),
        ("credentials: {token: hunter2}", "MAN125", 'accessKeyId: "env:NAME"'),
        ("token: hunter2", "MAN125", 'accessKeyId: "env:NAME"'),
        ("credentials: {endpoint: 'file:x'}", "MAN113", "`aws: {endpoint: …}`"),
        ("credentials: {accessKeyId: 'profile:p', secretAccessKey: 'env:K'}", "MAN120",
         "`profile:p` for each"),
    ],
)  # fmt: skip
def test_a_credential_that_the_type_has_not_names_those_that_it_has(
    line: str, code: str, says: str
) -> None:
    _, (found,) = run(LAKE + f"  {line}\n")
    assert found.code == code
    assert says in found.fix
    assert "hunter2" not in repr(found)


PLAIN = """apiVersion: batuta.dev/v1
kind: EgressPolicy
metadata: {name: p}
spec: {requireTls: false, allow: [{host: HOST, ports: [9000]}]}
"""
HOUSE = "  network: OnPrem\n  cidrs: ['fd00::/8']\n  endpoints: ['http://ENDPOINT:9000']\n"


@pytest.mark.parametrize(
    ("endpoint", "host", "kept"),
    [
        ("[fd00::5]", '"[fd00::5]"', "[fd00::5]"),
        ("[FD00:0::5]", "fd00::5", "[fd00::5]"),
        ("[fd00::5]", '"[fd00:0:0::5]"', "[fd00::5]"),
        ("API.acme.test", "api.acme.test.", "api.acme.test"),
        ("api.acme.test.", "API.acme.test", "api.acme.test"),
    ],
)
def test_hosts_have_one_spelling_however_they_are_written(
    endpoint: str, host: str, kept: str
) -> None:
    house = LAKE + HOUSE.replace("ENDPOINT", endpoint)
    found = desired(house, PLAIN.replace("HOST", host))
    assert [p.allow[0].host for p in found.egress_policies] == [kept]


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        ("bücher.example", "`xn--bcher-kva.example`"),
        ("faß.example", "`api.example.test`"),
        ('"[fd00::5]:9000"', "`api.example.test`"),
        ("fd00:5", "`ports`"),
        ("api.example.test:9000", "`api.example.test`"),
    ],
)
def test_what_is_no_host_is_refused_with_one_that_is_accepted(host: str, fix: str) -> None:
    _, found = run(PLAIN.replace("requireTls: false, ", "").replace("HOST", host))
    assert found[0].code == "MAN116"
    assert fix in found[0].fix


def test_a_profile_may_stand_for_all_credentials() -> None:
    same = "  credentials: {accessKeyId: 'profile:p', secretAccessKey: 'profile:p'}\n"
    assert run(LAKE + same)[1] == []


def test_credentials_as_a_finding_writes_them_validate() -> None:
    line = credentials_written(DECLARATIONS)
    assert run(LAKE + f"{line}\n")[1] == []
