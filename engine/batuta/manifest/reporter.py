"""Findings about one document, collected where its rules are checked."""

from batuta.manifest.document import Document, Path
from batuta.manifest.findings import found
from batuta.model.diagnostic import Diagnostic, Severity


class Reporter:
    """Collects findings about one document, each at the place of a path."""

    __slots__ = ("_document", "diagnostics")

    def __init__(self, document: Document) -> None:
        self._document = document
        self.diagnostics: list[Diagnostic] = []

    def add(
        self, code: str, path: Path, detail: str, fix: str, severity: Severity = Severity.ERROR
    ) -> None:
        """Add a finding about the value at `path`, or about its nearest written parent."""
        document = self._document
        name = document.name
        self.diagnostics.append(
            found(
                code, detail, fix, document.spot(path).value, severity=severity,
                address=f"{document.kind}/{name}" if name else None,
            )
        )  # fmt: skip
