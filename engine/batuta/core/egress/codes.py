"""The verdicts of the gateway: a closed list of stable codes, and the value that carries one.

A verdict is a field of an audit row, not a diagnostic, so it has a dotted name and no page;
`MEANING` is the sentence that a log or `egress explain` shows beside it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Every verdict that a connection can end with."""

    ALLOW = "allow"
    HTTP_MALFORMED = "http.malformed"
    HTTP_HEAD_TOO_LARGE = "http.head_too_large"
    HTTP_HEAD_TIMEOUT = "http.head_timeout"
    HTTP_PLAINTEXT = "http.plaintext_proxying"
    HTTP_METHOD = "http.method"
    HTTP_PATH = "http.path"
    HTTP_TARGET = "http.target"
    HTTP_HOST = "http.host_mismatch"
    HTTP_FRAMING = "http.framing"
    HTTP_UPGRADE = "http.upgrade"
    HTTP_CREDENTIAL = "http.credential_scope"
    HTTP_NO_CREDENTIAL = "http.no_credential"
    HTTP_STRANGER = "http.stranger"
    HOST_MALFORMED = "host.malformed"
    HOST_NON_ASCII = "host.non_ascii"
    HOST_IP_LITERAL = "host.ip_literal"
    HOST_BLOCKED = "host.blocked"
    HOST_NOT_ALLOWED = "host.not_allowed"
    PORT_NOT_ALLOWED = "port.not_allowed"
    DNS_NXDOMAIN = "dns.nxdomain"
    DNS_TOO_MANY = "dns.too_many"
    DNS_MALFORMED = "dns.malformed"
    DNS_TIMEOUT = "dns.timeout"
    DNS_FAILED = "dns.failed"
    CONNECT_FAILED = "connect.failed"
    IP_METADATA = "ip.metadata"
    IP_LOOPBACK = "ip.loopback"
    IP_LINK_LOCAL = "ip.link_local"
    IP_MULTICAST = "ip.multicast"
    IP_UNSPECIFIED = "ip.unspecified"
    IP_PRIVATE = "ip.private"
    IP_GLOBAL = "ip.global"
    IP_OUTSIDE_PINNED = "ip.outside_pinned_cidr"
    TLS_NOT_TLS = "tls.not_tls"
    TLS_MALFORMED = "tls.malformed"
    TLS_TOO_LARGE = "tls.too_large"
    TLS_VERSION = "tls.version"
    TLS_NO_SNI = "tls.no_sni"
    TLS_SNI_MISMATCH = "tls.sni_mismatch"
    TLS_ECH = "tls.ech"
    TLS_TIMEOUT = "tls.timeout"
    TLS_UNTRUSTED = "tls.untrusted"
    TLS_UPSTREAM = "tls.upstream"
    BUDGET_UPLOAD = "budget.upload"
    BUDGET_BYTES = "budget.bytes"
    BUDGET_NAMES = "budget.names"
    BUDGET_CONNECTIONS = "budget.connections"
    BUDGET_DURATION = "budget.duration"


MEANING: dict[Code, str] = {
    Code.ALLOW: "The connection was allowed.",
    Code.HTTP_MALFORMED: "The request to the gateway is not one that HTTP defines.",
    Code.HTTP_HEAD_TOO_LARGE: "The head of the request to the gateway is longer than 64 KiB.",
    Code.HTTP_HEAD_TIMEOUT: "The head of the request to the gateway did not come in time.",
    Code.HTTP_PLAINTEXT: "Only CONNECT is served here; plain HTTP would hide nothing.",
    Code.HTTP_METHOD: "The rule does not allow this HTTP method.",
    Code.HTTP_PATH: "The rule does not allow this path.",
    Code.HTTP_TARGET: "The request's target names something else than a path of this host.",
    Code.HTTP_HOST: "The Host header names another host than the tunnel was opened for.",
    Code.HTTP_FRAMING: "The request says in two ways where it ends.",
    Code.HTTP_UPGRADE: "The request asks to leave HTTP, where nothing could be checked.",
    Code.HTTP_CREDENTIAL: "A credential was sent where none belongs.",
    Code.HTTP_NO_CREDENTIAL: "The credential that the request goes on with could not be had.",
    Code.HTTP_STRANGER: "Somebody else than batuta asked at batuta's own way out.",
    Code.HOST_MALFORMED: "The text is no host name.",
    Code.HOST_NON_ASCII: "The host name holds letters beyond ASCII; its A-label form is needed.",
    Code.HOST_IP_LITERAL: "An address stands where a host name is needed.",
    Code.HOST_BLOCKED: "A rule denies this host.",
    Code.HOST_NOT_ALLOWED: "No rule allows this host.",
    Code.PORT_NOT_ALLOWED: "A rule allows this host, but not this port.",
    Code.DNS_NXDOMAIN: "The name has no address.",
    Code.DNS_TOO_MANY: "The answer holds more addresses than a host has.",
    Code.DNS_MALFORMED: "The answer holds something that is no address.",
    Code.DNS_TIMEOUT: "The name was not resolved in time.",
    Code.DNS_FAILED: "The resolver failed.",
    Code.CONNECT_FAILED: "The other side could not be connected to.",
    Code.IP_METADATA: "The address is one where a cloud serves credentials.",
    Code.IP_LOOPBACK: "The address is this machine itself.",
    Code.IP_LINK_LOCAL: "The address is good on one link only.",
    Code.IP_MULTICAST: "The address is a group's.",
    Code.IP_UNSPECIFIED: "The address stands for no host.",
    Code.IP_PRIVATE: "The address is not one of the public internet.",
    Code.IP_GLOBAL: "The address is public, and the tier keeps to private ones.",
    Code.IP_OUTSIDE_PINNED: "The address lies outside the ranges that the rule declares.",
    Code.TLS_NOT_TLS: "What came through the tunnel is not TLS.",
    Code.TLS_MALFORMED: "The ClientHello is not one that TLS defines.",
    Code.TLS_TOO_LARGE: "The ClientHello is longer than 70 KB.",
    Code.TLS_VERSION: "The client offers nothing newer than TLS 1.1.",
    Code.TLS_NO_SNI: "The ClientHello names no server.",
    Code.TLS_SNI_MISMATCH: "The ClientHello names another server than the tunnel was opened for.",
    Code.TLS_ECH: "The ClientHello is encrypted, so that its server cannot be checked.",
    Code.TLS_TIMEOUT: "The tunnel was opened and no whole ClientHello came through it in time.",
    Code.TLS_UNTRUSTED: "The worker's client does not accept the certificate of the run.",
    Code.TLS_UPSTREAM: "The other side's certificate or its TLS was not accepted.",
    Code.BUDGET_UPLOAD: "More bytes would be sent than the rule allows for one run.",
    Code.BUDGET_BYTES: "More bytes would be moved than the policy allows for one run.",
    Code.BUDGET_NAMES: "More names were asked for under one wildcard than a run needs.",
    Code.BUDGET_CONNECTIONS: "More connections were opened than a run needs.",
    Code.BUDGET_DURATION: "The connection was open for longer than one may be.",
}
"""What each code says, as one sentence."""

UNREACHED = frozenset(
    {
        Code.HTTP_NO_CREDENTIAL,
        Code.DNS_NXDOMAIN,
        Code.DNS_TIMEOUT,
        Code.DNS_FAILED,
        Code.CONNECT_FAILED,
        Code.TLS_UPSTREAM,
    }
)
"""Codes of connections that the policy allows and that did not come about: no violation."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One step said no. `detail` names what was refused, in a full sentence."""

    code: Code
    detail: str

    @property
    def verdict(self) -> str:
        """How a log has it: `deny` where a rule said no, `fail` where nobody could be reached."""
        return "fail" if self.code in UNREACHED else "deny"
