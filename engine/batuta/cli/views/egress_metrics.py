"""The egress log as metrics, in the text form that Prometheus reads.

Counts are those of the whole log, which only grows, so they never go down. A host is no label: a
worker that tries many names must not be able to make many series.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batuta.runtime.egress.audit_read import Verified
    from batuta.runtime.egress_log import Attempt


def metrics(attempts: "Iterable[Attempt]", found: "Verified") -> str:
    """Return all series: connections by verdict, bytes by direction, and whether the log holds."""
    tried: Counter[tuple[str, ...]] = Counter()
    going: Counter[tuple[str, ...]] = Counter()
    moved: Counter[tuple[str, ...]] = Counter()
    for attempt in attempts:
        dataset = attempt.dataset.partition("/")[2] or attempt.dataset
        if not attempt.ended:
            going[(dataset,)] += 1
            continue
        tried[dataset, attempt.verdict, attempt.code] += 1
        moved[dataset, "up"] += attempt.up
        moved[dataset, "down"] += attempt.down
    lines = _series(
        "batuta_egress_connections_total",
        "Connections that workers tried and that have ended, by verdict and code.",
        ("dataset", "verdict", "code"),
        tried,
    )
    lines += _series(
        "batuta_egress_bytes_total",
        "Bytes from (up) and to (down) workers, of connections that have ended.",
        ("dataset", "direction"),
        moved,
    )
    name, text = "batuta_egress_connections_open", "Connections whose end is not in the log."
    lines += _series(name, text, ("dataset",), going, kind="gauge")
    lines += [
        "# HELP batuta_egress_log_whole 1 where the chain of the egress log holds, else 0.",
        "# TYPE batuta_egress_log_whole gauge",
        f"batuta_egress_log_whole {0 if found.findings else 1}",
    ]
    return "\n".join([*lines, ""])


def _series(
    name: str,
    text: str,
    labels: tuple[str, ...],
    values: Counter[tuple[str, ...]],
    *,
    kind: str = "counter",
) -> list[str]:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for key in sorted(values):
        pairs = (f'{label}="{_escaped(v)}"' for label, v in zip(labels, key, strict=True))
        lines.append(f"{name}{{{','.join(pairs)}}} {values[key]}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
