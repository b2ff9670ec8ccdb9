"""Kubernetes: a NetworkPolicy by which worker pods reach the gateway's pods and nothing else.

Not even the cluster's DNS: the gateway looks names up, and a resolver is a way out.
"""

from batuta.core.egress.policy import Policy
from batuta.core.egress.render.site import (
    PLACEHOLDER_GATEWAY,
    PLACEHOLDER_WORKERS,
    Labels,
    Site,
    listed,
    preface,
)

_CANNOT = (
    "host names, and the name in a TLS greeting",
    "ports of one host, methods and paths, bytes sent to one host",
    "traffic of a pod with the node's own network, or to the node itself, on some plug-ins",
    "anything at all where the cluster's network plug-in does not know NetworkPolicy",
)


def render(policy: Policy, site: Site) -> str:
    """Return a NetworkPolicy as YAML, to apply in the namespace of the workers."""
    return "\n".join(
        [
            *preface(policy, site, "a Kubernetes NetworkPolicy", _CANNOT, _fitted(site)),
            *listed(policy),
            "apiVersion: networking.k8s.io/v1",
            "kind: NetworkPolicy",
            "metadata:",
            "  name: batuta-egress",
            f"  namespace: {_quoted(site.namespace)}",
            "  annotations:",
            f"    batuta.dev/policy-digest: {_quoted(policy.digest)}",
            "spec:",
            "  podSelector:",
            *_labels(site.workers or PLACEHOLDER_WORKERS, "    "),
            "  policyTypes: [Egress]",
            "  egress:",
            "    - to:",
            "        - podSelector:",
            *_labels(site.gateway_pods or PLACEHOLDER_GATEWAY, "            "),
            "      ports:",
            "        - protocol: TCP",
            f"          port: {site.port}",
            "",
        ]
    )


def _fitted(site: Site) -> tuple[str, ...]:
    said = (
        (site.workers, PLACEHOLDER_WORKERS, "worker", "--pod-label"),
        (site.gateway_pods, PLACEHOLDER_GATEWAY, "gateway", "--gateway-pod-label"),
    )
    lines = [
        f"The gateway's pods are a proxy of the house that listens at port {site.port}, for example squid",
        "with the output of `--format squid`. batuta brings no such pods (the gateway of a run lives",
        "in the pod of batuta itself, which these rules are for): name the proxy in the Workspace,",
        f'`network: {{proxy: "http://ADDRESS:{site.port}"}}`, by its address, since the cluster\'s DNS',
        "is closed as well. Without one do not apply this: batuta would reach nothing.",
    ]
    for labels, placeholder, role, option in said:
        if not labels:
            ((name, value),) = placeholder
            lines += [
                f"TO BE SET: {name}={value} is a placeholder for the labels of the {role}'s pods",
                f"here. Write it with `{option} KEY=VALUE` (`kubectl get pods --show-labels`).",
            ]
    return tuple(lines)


def _labels(labels: Labels, indent: str) -> list[str]:
    lines = [f"{indent}  {_quoted(name)}: {_quoted(value)}" for name, value in labels]
    return [f"{indent}matchLabels:", *lines]


def _quoted(text: str) -> str:
    # YAML reads a bare `yes` or `10` as something else than text.
    return "'" + text.replace("'", "''") + "'"
