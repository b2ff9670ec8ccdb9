"""Allowed names with bad addresses: the group gateway-ip. Nothing is connected to."""

from pathlib import Path
from typing import Any

import pytest

from batuta.core.egress.addresses import Demand
from batuta.runtime.egress.session import INSIDE
from tests.attacks.far_side import GOOD
from tests.attacks.gateway_lab import HOUSE, attacks, get, lab, rule

ROWS = [row for row in attacks("gateway-ip") if "request" in row]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_bad_address_is_not_connected_to(tmp_path: Path, row: dict[str, Any]) -> None:
    request = row["request"]
    host = request["connect"].partition(":")[0]
    cidrs = tuple(request.get("rule", {}).get("cidrs", ()))
    with lab(tmp_path, [rule(host, demand=Demand(cidrs=cidrs))]) as here:
        here.far.names[host] = tuple(request["dns"])
        connection, head = here.knock(request["connect"])
        connection.close()

        assert b" 403 " in head
        assert (here.last().verdict, here.last().code) == ("deny", row["code"])
        assert list(here.last().addresses) == request["dns"]
        assert here.far.dialed == []


def test_one_bad_answer_refuses_all(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        here.far.names["api.good.test"] = (GOOD, "10.9.9.9")
        connection, _ = here.knock("api.good.test:443")
        connection.close()

        assert here.last().code == "ip.private"
        assert here.far.dialed == []


def test_a_flood_of_answers_is_refused(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        here.far.names["api.good.test"] = tuple(
            f"23.20.{n // 250}.{n % 250}" for n in range(10_000)
        )
        connection, _ = here.knock("api.good.test:443")
        connection.close()

        assert here.last().code == "dns.too_many"
        assert here.far.dialed == []
        assert len(here.last().addresses) < 100


def test_the_address_that_was_checked_is_the_one_connected_to(tmp_path: Path) -> None:
    """A second answer, another one, is never asked for: that is how rebinding works."""
    with lab(tmp_path) as here:
        with here.tunnel("api.good.test:443", "api.good.test") as tls:
            get(tls, "/", "api.good.test")

        assert here.far.looked_up == ["api.good.test"]
        assert here.far.dialed == [(GOOD, 443)]
        assert here.last().peer == GOOD


def test_nothing_else_of_this_machine_is_reachable(tmp_path: Path) -> None:
    """A rule for one endpoint in the house opens that host and port alone."""
    with lab(tmp_path, [HOUSE]) as here:
        for target in ("127.0.0.1:22", "localhost:22", "10.9.9.9:22", "10.9.9.8:9000",
                       f"127.0.0.1:{INSIDE[1]}", "169.254.169.254:80", "[::1]:22"):  # fmt: skip
            connection, head = here.knock(target)
            connection.close()
            assert b" 403 " in head, target
            assert here.last().verdict == "deny"

        assert here.far.dialed == []


def test_a_dead_host_is_no_refusal_of_policy(tmp_path: Path) -> None:
    with lab(tmp_path) as here:
        here.far.names["api.good.test"] = ("23.20.0.99",)
        connection, head = here.knock("api.good.test:443")
        connection.close()

        assert head.startswith(b"HTTP/1.1 502 connect.failed")
        assert (here.last().verdict, here.last().code) == ("fail", "connect.failed")
