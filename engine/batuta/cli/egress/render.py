"""`batuta egress render`: the policies as rules that an administrator can install elsewhere."""

import re
from typing import TYPE_CHECKING

import click

from batuta.cli.app import App, pass_app
from batuta.cli.options import workspace_options
from batuta.cli.views import egress

if TYPE_CHECKING:
    from batuta.core.egress.render.site import Labels

_LAST_UID = 2**32 - 2
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_PREFIX = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/"
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL = re.compile(rf"((?:{_PREFIX})?{_NAME})=((?:{_NAME})?)")


@click.command("render")
@click.option(
    "--format",
    "as_format",
    type=click.Choice(["text", "nftables", "kubernetes", "squid"]),
    default="text",
    show_default=True,
    help="text is for reading; the others are rules, and say in comments what they cannot express.",
)
@click.option("--dataset", metavar="NAME", help="Only for this one. Default: all together.")
@click.option("--user", metavar="UID", help="nftables: whom workers run as, UID or FIRST-LAST.")
@click.option(
    "--pod-label",
    multiple=True,
    metavar="KEY=VALUE",
    help="kubernetes: a label that pods of workers have. May be repeated.",
)
@click.option(
    "--gateway-pod-label",
    multiple=True,
    metavar="KEY=VALUE",
    help="kubernetes: a label that pods of the gateway have. May be repeated.",
)
@workspace_options
@pass_app
def command(
    app: App,
    as_format: str,
    dataset: str | None,
    user: str | None,
    pod_label: tuple[str, ...],
    gateway_pod_label: tuple[str, ...],
) -> int:
    """Print what workers may reach, for people or as a second layer of defence.

    The gateway of each run is the first layer and needs none of this. No rule is put in force.
    Say whom the rules are for: without that a placeholder stands there, and a comment says so.

    \b
    Example:
        batuta egress render --dataset orders
        batuta egress render --format nftables --user 1001 > /etc/nftables.d/batuta.nft
        batuta egress render --format kubernetes --pod-label app=etl > networkpolicy.yaml
    """
    from batuta.core.egress.render.site import Site

    given = (("--user", user, "nftables"), ("--pod-label", pod_label, "kubernetes"),
             ("--gateway-pod-label", gateway_pod_label, "kubernetes"))  # fmt: skip
    for option, value, form in given:
        if value and as_format != form:
            raise click.UsageError(f"{option} goes with --format {form}.")
    site = Site(
        uids=_uids(user), workers=_labels("--pod-label", pod_label),
        gateway_pods=_labels("--gateway-pod-label", gateway_pod_label),
    )  # fmt: skip
    view = app.open().egress
    if as_format == "text":
        app.out.write(egress.policies(app.out.page, view.policies(dataset)))
    else:
        app.out.verbatim(view.rendered(as_format, dataset, site))
    return 0


def _uids(user: str | None) -> tuple[int, int] | None:
    if user is None:
        return None
    parts = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", user)
    first, last = (int(parts[1]), int(parts[2] or parts[1])) if parts else (1, 0)
    if not first <= last <= _LAST_UID:
        raise click.BadParameter("a number such as 1001, or 1001-1010", param_hint="--user")
    return first, last


def _labels(option: str, given: tuple[str, ...]) -> "Labels":
    found: list[tuple[str, str]] = []
    for text in given:
        label = _LABEL.fullmatch(text)
        if label is None or label[1] in dict(found):
            why = f"`{text}` is no label of Kubernetes, or its key was said already: KEY=VALUE"
            raise click.BadParameter(why, param_hint=option)
        found.append((label[1], text.partition("=")[2]))
    return tuple(found)
