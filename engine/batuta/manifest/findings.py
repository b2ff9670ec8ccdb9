"""The diagnostics of this room: one fixed summary a code, and how to make one."""

import difflib
from collections.abc import Iterable

from batuta.model.diagnostic import BatutaError, Diagnostic, Location, Severity

SUMMARIES = {
    "MAN101": "The file is not UTF-8 text",
    "MAN102": "The file holds a forbidden character",
    "MAN103": "The file is too large",
    "MAN104": "The file is not valid YAML",
    "MAN105": "Values are nested too deeply",
    "MAN106": "The file holds too many values",
    "MAN107": "A key is written twice",
    "MAN108": "This feature of YAML is not accepted",
    "MAN109": "This number is ambiguous or out of range",
    "MAN110": "The document is not a batuta document",
    "MAN111": "The kind is unknown",
    "MAN112": "Not yet supported",
    "MAN113": "The field is unknown",
    "MAN114": "A required field is missing",
    "MAN115": "The value has the wrong type",
    "MAN116": "The value is not allowed here",
    "MAN117": "Two documents have the same kind and name",
    "MAN118": "The name refers to nothing",
    "MAN119": "The platform is missing or ambiguous",
    "MAN120": "Two fields contradict each other",
    "MAN121": "Datasets depend on each other in a circle",
    "MAN122": "The variable is undeclared or has no value",
    "MAN123": "The variable cannot be used like this",
    "MAN124": "The overlay meets no document",
    "MAN125": "A secret is written in the manifest",
    "MAN126": "The tier is weaker than the environment allows",
    "MAN127": "There is more than one Workspace",
    "MAN128": "Two datasets have the same destination",
    "MAN129": "The address cannot be used",
    "MAN130": "The network settings are not safe",
    "MAN131": "This workspace needs another version of batuta",
    "MAN132": "The setting has no effect yet",
    "MAN133": "The value of a variable is overruled",
    "MAN134": "The file cannot be formatted",
}


class Refused(BatutaError):
    """The text at hand cannot be read any further."""


def found(
    code: str,
    detail: str,
    fix: str,
    *locations: Location,
    address: str | None = None,
    severity: Severity = Severity.ERROR,
) -> Diagnostic:
    """Return the diagnostic of `code` with its fixed summary."""
    return Diagnostic(
        code=code,
        summary=SUMMARIES[code],
        detail=detail,
        fix=fix,
        severity=severity,
        locations=locations,
        address=address,
    )


# What to do where a list of names is empty.
_NONE = {
    "Variables": "declare it in `spec.variables` of the Workspace",
    "Environments": "declare it in `spec.environments` of the Workspace",
}


def quoted(text: str, limit: int = 60) -> str:
    """Return user text in backquotes, on one line, cut to `limit` characters."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "`" + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short) + "`"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the most similar of `words`, None where none is near; case and dashes count little."""
    known = sorted(words)
    folded = {_fold(w): w for w in known}
    match = difflib.get_close_matches(_fold(word)[:80], folded, n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def _fold(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def suggest(word: str, words: Iterable[str], what: str) -> str:
    """Return a fix: the nearest valid word, and the list of all where it is short."""
    known = sorted(words)
    if not known:
        return f"There is none here: {_NONE.get(what, 'remove it')}."
    near = nearest(word, known)
    listed = f"{what}: " + ", ".join(f"`{w}`" for w in known) + "." if len(known) <= 40 else ""
    head = f"Did you mean `{near}`?" if near else ""
    return " ".join(part for part in (head, listed) if part) or f"None of the {what} is near."
