"""Renderings: read by the tools they are for, honest about what they cannot say."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml

from batuta.core.egress.policy import Policy, compose
from batuta.core.egress.render import kubernetes, nftables, squid
from batuta.core.egress.render.site import Share, Site
from batuta.model.egress import HostNeed
from batuta.model.resource import EgressRule
from batuta.model.tier import Network
from tests.kernel import requires_kernel
from tests.unit.core.egress.policies import FULL, HYBRID, action, document, policy_for, reached

POLICY = policy_for("api.good.test", "bucket.s3.eu-central-1.amazonaws.com")
WILD = policy_for("*.stage.test", "api.good.test")
SITE = Site(gateway=("127.0.0.1", "::1"), written="2026-11-24T12:00:00Z")
NAMESPACE = ("unshare", "--user", "--map-root-user", "--net", "--")
FITTED = replace(SITE, uids=(1001, 1010))
SHARED = replace(
    SITE,
    shares=(
        Share(policy=POLICY, datasets=("orders", "sales")),
        Share(policy=Policy(tier=FULL), datasets=("hr",)),
    ),
)
TABLES = {
    "fitted": nftables.render(POLICY, FITTED),
    "policies together": nftables.render(POLICY, SHARED),
    "two families": nftables.render(POLICY, SITE),
    "one family": nftables.render(POLICY, Site(gateway=("10.0.0.5",))),
    "nothing allowed": nftables.render(Policy(tier=FULL), SITE),
    "worker": nftables.render_worker(),
    "sealed worker": nftables.render_worker(0),
}


def _house() -> Policy:
    plain = HostNeed(host="127.0.0.1", port=8333, scheme="http")
    ends = reached(plain, network=Network.ON_PREM, cidrs=("127.0.0.0/8", "fd00::/8"))
    said = document("plain", EgressRule(host="127.0.0.1", ports=(8333,)), require_tls=False)
    return compose((said,), action(ends, tier=HYBRID, named="plain")).policy


def _squid(policy: Policy, site: Site = SITE) -> str:
    text = squid.render(policy, site)
    assert isinstance(text, str), text
    return text


@requires_kernel("nftables")
@pytest.mark.parametrize("case", TABLES)
def test_nft_takes_the_table_and_takes_it_twice(case: str) -> None:
    once, loads = TABLES[case], 1 if "worker" in case else 2
    check = subprocess.run(
        [*NAMESPACE, "nft", "--check", "--file", "-"],
        input=once * loads, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert check.returncode == 0, check.stderr


@requires_kernel("nftables")
def test_nft_would_notice_a_mistake() -> None:
    broken = TABLES["two families"].replace("icmpx", "names")
    check = subprocess.run(
        [*NAMESPACE, "nft", "-c", "-f", "-"],
        input=broken,
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode != 0


CONNECT = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
one = socket.socket(family, getattr(socket, sys.argv[3]))
one.settimeout(2)
try:
    one.connect((sys.argv[1], int(sys.argv[2])))
    one.send(b"x")
    one.recv(1)
except ConnectionRefusedError:
    print("nobody listens")
except OSError:
    print("closed")
"""


@requires_kernel("nftables")
@pytest.mark.parametrize(
    ("worker", "address", "port", "kind", "said"),
    [
        (True, "127.0.0.1", 3128, "SOCK_STREAM", "nobody listens"),
        (True, "::1", 3128, "SOCK_STREAM", "nobody listens"),
        (True, "127.0.0.1", 3129, "SOCK_STREAM", "closed"),
        (True, "127.0.0.2", 3128, "SOCK_STREAM", "closed"),
        # Where the gateway of a run listens, for batuta itself runs as such a user.
        (True, "127.0.0.1", 40000, "SOCK_STREAM", "nobody listens"),
        (True, "127.0.0.1", 40000, "SOCK_DGRAM", "closed"),
        (True, "::1", 3129, "SOCK_STREAM", "closed"),
        (True, "127.0.0.1", 3128, "SOCK_DGRAM", "closed"),
        (False, "127.0.0.1", 3129, "SOCK_STREAM", "nobody listens"),
        (False, "127.0.0.1", 3128, "SOCK_DGRAM", "nobody listens"),
    ],
)
def test_the_table_stops_workers_and_nobody_else(
    worker: bool, address: str, port: int, kind: str, said: str
) -> None:
    """Loaded into a network namespace of the test's own; packets stay on its loopback."""
    # The namespace has one user, 0, who is a worker or is not.
    users = (0, 0) if worker else (64000, 64999)
    script = f'ip link set lo up && nft -f - && exec "{sys.executable}" -c "$0" "$@"'
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, CONNECT, address, str(port), kind],
        input=nftables.render(POLICY, replace(SITE, uids=users)),
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == (said, "")


@requires_kernel("nftables")
@pytest.mark.parametrize(
    ("port", "opened", "said"),
    [(3128, 3128, "nobody listens"), (3129, 3128, "closed"), (3128, 0, "closed")],
)
def test_a_worker_s_own_table_leaves_the_listener_alone_open(
    port: int, opened: int, said: str
) -> None:
    script = f'ip link set lo up && nft -f - && exec "{sys.executable}" -c "$0" "$@"'
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, CONNECT, "127.0.0.1", str(port), "SOCK_STREAM"],
        input=nftables.render_worker(opened),
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == (said, "")


@requires_kernel("squid")
@pytest.mark.parametrize("case", ["public", "together", "house", "expanded", "narrow", "closed"])
def test_squid_takes_the_configuration(case: str, tmp_path: Path) -> None:
    text = {
        "public": _squid(POLICY),
        "together": _squid(POLICY, SHARED),
        "house": _squid(_house()),
        "expanded": _squid(WILD, replace(SITE, names={"*.stage.test": ("a.stage.test",)})),
        "narrow": _squid(
            replace(_house(), allow=tuple(replace(r, methods=("GET",)) for r in _house().allow))
        ),
        "closed": _squid(Policy(tier=FULL)),
    }[case]
    file = tmp_path / "squid.conf"
    file.write_text(text)
    parsed = subprocess.run(
        ["squid", "-k", "parse", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert parsed.returncode == 0, parsed.stderr
    assert "WARNING" not in parsed.stderr
    assert "ERROR" not in parsed.stderr


def test_squid_is_told_exact_names_and_closes_the_rest() -> None:
    lines = _squid(POLICY).splitlines()
    allowed = [line for line in lines if line.startswith("http_access allow")]
    assert len(allowed) == len(POLICY.allow)
    assert all(" batuta_connect " in line and "!batuta_never" in line for line in allowed)
    assert lines[-1] == "http_access deny all"
    names = [line for line in lines if " dstdomain " in line]
    assert [line.split()[-1] for line in names] == [r.pattern for r in POLICY.allow]
    assert all(" -n " in line for line in names)


def test_squid_denies_before_it_allows_and_at_any_depth() -> None:
    denied = document("d", "api.good.test", deny=("*.bad.test",), datasets=("sales",))
    text = _squid(compose((denied,), action(reached("api.good.test"))).policy)
    assert text.index("http_access deny batuta_denied") < text.index("http_access allow")
    assert "dstdomain -n .bad.test" in text


def test_a_wildcard_is_replaced_by_names_or_refused() -> None:
    found = squid.render(WILD, SITE)
    assert isinstance(found, tuple)
    assert [d.code for d in found] == ["EGR109"]
    strays = {"*.stage.test": ("a.stage.test", "b.a.stage.test", "evil.test")}
    text = _squid(WILD, replace(SITE, names=strays))
    assert "a.stage.test\n" in text
    assert "evil.test" not in text
    assert ".stage.test" not in [
        line.split()[-1] for line in text.splitlines() if "dstdomain" in line
    ]
    only_strays = replace(SITE, names={"*.stage.test": ("evil.test",)})
    assert not isinstance(squid.render(WILD, only_strays), str)


NETWORK_POLICY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "networking.k8s.io/v1"},
        "kind": {"const": "NetworkPolicy"},
        "metadata": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"},
                "namespace": {"type": "string"},
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["podSelector", "policyTypes", "egress"],
            "properties": {
                "podSelector": {"$ref": "#/$defs/selector"},
                "policyTypes": {"const": ["Egress"]},
                "egress": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["to", "ports"],
                        "properties": {
                            "to": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "properties": {"podSelector": {"$ref": "#/$defs/selector"}},
                                },
                            },
                            "ports": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "properties": {
                                        "protocol": {"const": "TCP"},
                                        "port": {"type": "integer", "minimum": 1},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
    "$defs": {
        "selector": {
            "type": "object",
            "additionalProperties": False,
            "required": ["matchLabels"],
            "properties": {
                "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}
            },
        }
    },
}


def test_the_network_policy_is_one_and_opens_the_gateway_alone() -> None:
    odd = replace(SITE, namespace="yes", workers=(("role", "10"), ("o'clock", "no")))
    for policy in (POLICY, WILD, Policy(tier=FULL)):
        jsonschema.validate(yaml.safe_load(kubernetes.render(policy, SHARED)), NETWORK_POLICY)
        parsed = yaml.safe_load(kubernetes.render(policy, odd))
        jsonschema.validate(parsed, NETWORK_POLICY)
        assert parsed["spec"]["podSelector"]["matchLabels"] == {"role": "10", "o'clock": "no"}
        (way,) = parsed["spec"]["egress"]
        assert way["ports"] == [{"protocol": "TCP", "port": 3128}]
        assert parsed["metadata"]["annotations"]["batuta.dev/policy-digest"] == policy.digest


@pytest.mark.parametrize("render", [nftables.render, kubernetes.render, squid.render])
def test_every_rendering_says_which_policy_when_and_what_it_cannot_say(render: object) -> None:
    text = render(POLICY, SITE)  # type: ignore[operator]
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert any(POLICY.digest in line for line in comments)
    assert any("2026-11-24T12:00:00Z" in line for line in comments)
    at = comments.index("# It cannot say, so only the gateway checks:")
    assert comments[at + 1].startswith("#   - ")
    assert any("TLS" in line for line in comments)


@pytest.mark.parametrize("render", [nftables.render, kubernetes.render, squid.render])
def test_policies_that_are_rendered_together_are_all_named(render: object) -> None:
    text = render(POLICY, SHARED)  # type: ignore[operator]
    comments = [line for line in text.splitlines() if line.startswith("#")]
    for share in SHARED.shares:
        at = comments.index(f"# Policy {share.policy.digest}")
        assert comments[at + 1].startswith(f"#   tier {share.policy.tier}")
        assert comments[at + 2] == f"#   for {', '.join(share.datasets)}"


def test_what_fits_nobody_says_so_and_what_was_told_is_used() -> None:
    assert "TO BE SET" in nftables.render(POLICY, SITE)
    text = nftables.render(POLICY, FITTED)
    assert "meta skuid 1001-1010 jump workers" in text
    assert "TO BE SET" not in text
    assert kubernetes.render(POLICY, SITE).count("TO BE SET") == 2
    told = replace(SITE, workers=(("app", "etl"),), gateway_pods=(("app", "batuta"),))
    text = kubernetes.render(POLICY, told)
    assert "TO BE SET" not in text
    spec = yaml.safe_load(text)["spec"]
    assert spec["podSelector"]["matchLabels"] == {"app": "etl"}
    (way,) = spec["egress"]
    assert way["to"] == [{"podSelector": {"matchLabels": {"app": "batuta"}}}]


def test_renderings_that_leave_one_proxy_open_say_who_has_to_run_it() -> None:
    for text in (nftables.render(POLICY, SITE), kubernetes.render(POLICY, SITE)):
        assert "proxy of the house" in text
        assert "--format squid" in text
        assert 'network: {proxy: "http://' in text
