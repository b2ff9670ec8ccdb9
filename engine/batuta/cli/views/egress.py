"""What workers may reach, as people read it: verdicts with their lines."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from batuta.cli.views import diagnostics, figures
from batuta.cli.views.diagnostics import SourceText
from batuta.cli.views.page import (
    BLANK,
    BOLD,
    DIM,
    GREEN,
    RED,
    Line,
    Page,
    Span,
    entries,
    line,
    prose,
    table,
)

if TYPE_CHECKING:
    from batuta.core.egress.rules import Rule
    from batuta.runtime.egress_view import Answer, Own, Shared, Status

_NAMED = 8


def explanation(page: Page, found: "Answer", source: SourceText) -> list[Line]:
    """Return the verdict on one host, the steps to it with their lines, and the way out."""
    why = found.explanation
    verdict = Span("open", GREEN) if found.allowed else Span("closed", RED)
    lines = [
        line(Span(f"{why.host}:{why.port}", BOLD), " is ", verdict,
             f" to the workers of Dataset/{found.dataset}.")
    ]  # fmt: skip
    for step in why.steps:
        lines += prose(page, step.text, indent=2, label=f"{page.glyphs.dot} ")
        lines += [line("    ", Span(str(place), DIM)) for place in step.locations]
    if found.refused:
        lines += prose(page, _CLOSED, indent=2, label=f"{page.glyphs.dot} ")
        lines += [BLANK, *diagnostics.view(page, found.refused, source)]
    elif why.fix:
        lines += prose(page, why.fix, label="Way out: ", style=BOLD)
    return lines


_CLOSED = "Nothing at all may be contacted for this dataset:"


def explanation_json(found: "Answer") -> str:
    """Return the same as a JSON document."""
    why = found.explanation
    rule = why.rule
    document = {
        "dataset": found.dataset,
        "host": why.host,
        "port": why.port,
        "allowed": found.allowed,
        "verdict": why.code.value,
        "rule": None if rule is None else {"name": rule.name, "origin": rule.origin},
        "steps": [
            {"text": step.text, "locations": [str(place) for place in step.locations]}
            for step in why.steps
        ],
        "fix": why.fix,
        "refused": [diagnostics.entry(each) for each in found.refused],
    }
    return json.dumps(document, indent=2) + "\n"


def policies(page: Page, found: "Sequence[Shared]") -> list[Line]:
    """Return each policy: whose it is, the hosts that it opens, and the lines that say so."""
    lines: list[Line] = []
    for shared in found:
        policy = shared.policy
        lines += [BLANK] if lines else []
        lines.append(line(Span(f"policy {policy.digest[:16]}", BOLD), f", tier {policy.tier}"))
        named = shared.datasets if page.exact else shared.datasets[:_NAMED]
        more = len(shared.datasets) - len(named)
        text = ", ".join(named) + (f" and {more:,} more" if more else "")
        lines += prose(page, text, indent=2, label="datasets: ")
        none = "none: what is needed is open" if policy.allow else "none"
        documents = ", ".join(policy.documents) or none
        lines += prose(page, documents, indent=2, label="documents: ")
        if policy.max_bytes is not None:
            lines.append(line(f"  moves at most {figures.size(page, policy.max_bytes)} a run"))
        rows = [(rule.name, *_how(page, rule)) for rule in policy.allow]
        header = ("open", "how", "allowed by", "line")
        lines += table(page, header, rows, indent=2) or [line("  No host is open.")]
    return lines or [line("No dataset is declared.")]


def _how(page: Page, rule: "Rule") -> tuple[str, str, str]:
    words = ["plain HTTP"] if rule.plain else ["TLS", *(["inspected"] if rule.inspect else [])]
    if rule.max_upload_bytes is not None:
        words.append(f"up to {figures.size(page, rule.max_upload_bytes)} sent")
    return ", ".join(words), rule.origin, str(rule.locations[0]) if rule.locations else ""


def status(page: Page, found: "Sequence[Status]", own: "Own") -> list[Line]:
    """Return a row for each dataset, and under the table what is not kept or not open.

    An exact page names the hosts.
    """
    if not found:
        return [line("No dataset is declared.")]
    rows = [
        (
            each.dataset,
            each.tier + (" (derived)" if each.derived else ""),
            each.policy[:8],
            f"{len(each.hosts):,}",
            each.level or "refused",
            f"{each.allowed:,}",
            f"{each.refused:,}",
            f"{each.failed:,}",
        )
        for each in found
    ]
    header = ("dataset", "tier", "policy", "hosts", "level", "allowed", "refused", "failed")
    lines = entries(page, header, rows)
    for each in found if page.exact else ():
        lines += prose(page, ", ".join(each.hosts) or "no host", label=f"{each.dataset}: ")
    for each in found:
        if each.closed:
            codes = ", ".join(each.closed)
            text = f"{each.dataset}: nothing may be contacted ({codes}); `batuta plan` says why."
            lines += prose(page, text, style=RED)
        elif not each.level:
            lines += prose(page, f"{each.dataset}: this machine does not give the level that its"
                           " tier needs; `batuta doctor` says what would help.")  # fmt: skip
        elif not each.enforced:
            lines += prose(page, f"{each.dataset}: enforced: false")
    if own.allowed or own.refused or own.failed:
        text = f"{own.allowed:,} allowed, {own.refused:,} refused, {own.failed:,} failed"
        lines += prose(page, f"batuta itself (logs and commits of all datasets): {text}")
    return lines


def status_json(found: "Sequence[Status]", own: "Own") -> str:
    """Return the same as a JSON document."""
    documents = [msgspec.to_builtins(each) for each in found]
    document = {"datasets": documents, "supervisor": msgspec.to_builtins(own)}
    return json.dumps(document, indent=2) + "\n"


_METRICS = (
    ("batuta_egress_allowed_total", "counter", "Connections of workers that were let through."),
    ("batuta_egress_refused_total", "counter", "Connections of workers that were refused or cut."),
    ("batuta_egress_failed_total", "counter", "Connections of workers that came to nothing."),
    ("batuta_egress_open_hosts", "gauge", "Hosts that the policy opens."),
    ("batuta_egress_enforced", "gauge", "1 where the operating system keeps workers to it here."),
)


def status_metrics(found: "Sequence[Status]", own: "Own") -> str:
    """Return the figures in the text format of Prometheus, with a dataset's name and tier.

    What batuta itself asked has neither.
    """
    none = {f"batuta_egress_{k}_total": n for k, n in msgspec.to_builtins(own).items()}
    lines: list[str] = []
    for name, kind, text in _METRICS:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [
            f'{name}{{dataset="{each.dataset}",tier="{each.tier}"}} {_figure(each, name)}'
            for each in found
        ]
        lines += [f'{name}{{dataset="",tier=""}} {none[name]}'] if name in none else []
    return "\n".join(lines) + "\n"


def _figure(each: "Status", name: str) -> int:
    match name:
        case "batuta_egress_allowed_total":
            return each.allowed
        case "batuta_egress_refused_total":
            return each.refused
        case "batuta_egress_failed_total":
            return each.failed
        case "batuta_egress_open_hosts":
            return len(each.hosts)
        case _:
            return int(each.enforced)
