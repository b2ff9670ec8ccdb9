"""Figures as people read them: bytes in binary units, rows with separators, money with doubt."""

from collections.abc import Iterable
from decimal import Decimal

from batuta.cli.views.page import Page
from batuta.model.canonical import Json
from batuta.model.cost import Confidence, CostEstimate

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(page: Page, count: int) -> str:
    """Return a number of bytes, as `1.2 GiB`, or to the byte where the page is exact."""
    if page.exact:
        return f"{count:,} B"
    amount, unit = Decimal(count), 0
    # 1023.95 would be shown as 1024.0, so the next unit starts where rounding reaches it.
    while amount >= Decimal("1023.95") and unit < len(_UNITS) - 1:
        amount /= 1024
        unit += 1
    return f"{count} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def rows(page: Page, count: int) -> str:
    """Return a number of rows, as `12,345 rows` or `1.2 million rows`."""
    if count == 1:
        return "1 row"
    if page.exact or count < 1_000_000:
        return f"{count:,} rows"
    if count < 1_000_000_000:
        return f"{Decimal(count) / 1_000_000:.1f} million rows"
    return f"{Decimal(count) / 1_000_000_000:,.1f} billion rows"


def counted(count: int, noun: str) -> str:
    """Return `1 file` or `2 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def seconds(count: float) -> str:
    """Return a duration, as `0.4 s`, `2 min 5 s` or `3 h 4 min`."""
    whole = round(count)
    if count < 59.95:
        return f"{count:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def keep_time(whole: int) -> str:
    """Return a period as a manifest spells it: `7d`, `24h`, `15m`, `30s`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if whole and whole % length == 0:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def cost(estimate: CostEstimate | None) -> str:
    """Return one estimate with its confidence; `Unknown` where no price is known, never 0."""
    if estimate is None or estimate.amount is None:
        driver = f" ({estimate.driver})" if estimate and estimate.driver else ""
        return f"{Confidence.UNKNOWN.value}{driver}"
    return f"{estimate.amount} ({estimate.confidence.value})"


def total_cost(estimates: Iterable[CostEstimate | None]) -> str:
    """Return the sum by currency with the weakest confidence, and how many are unknown."""
    sums: dict[str, Decimal] = {}
    weakest, unknown, count = Confidence.EXACT, 0, 0
    for each in estimates:
        count += 1
        if each is None or each.amount is None:
            unknown += 1
            continue
        amount, _, currency = each.amount.partition(" ")
        sums[currency] = sums.get(currency, Decimal(0)) + Decimal(amount)
        if each.confidence is not Confidence.EXACT:
            weakest = Confidence.ESTIMATED
    if count == 0:
        return "nothing"
    if not sums:
        return Confidence.UNKNOWN.value
    known = " + ".join(f"{amount} {currency}" for currency, amount in sorted(sums.items()))
    doubt = f"; Unknown for {unknown} of {count}" if unknown else ""
    return f"{known} ({weakest.value}){doubt}"


def money_at_stake(estimate: CostEstimate | None) -> bool:
    """True where a known price is above zero."""
    if estimate is None or estimate.amount is None:
        return False
    return Decimal(estimate.amount.partition(" ")[0]) > 0


def value(document: Json) -> str:
    """Return a field's value in one line: `none` for null, lists with commas."""
    match document:
        case None:
            return "none"
        case bool():
            return "true" if document else "false"
        case str():
            return document or '""'
        case int():
            return str(document)
        case _ if hasattr(document, "items"):
            return "{" + ", ".join(f"{k}: {value(v)}" for k, v in document.items()) + "}"
        case _:
            return "[" + ", ".join(value(v) for v in document) + "]"
