"""Findings about one document, collected where its rules are checked."""

from batuta.manifest.document import Document, Path, Spot, nearest
from batuta.manifest.findings import found
from batuta.model.diagnostic import Diagnostic, Location, Severity


class Reporter:
    """Collects findings about one document, each at the place of a path."""

    __slots__ = ("_document", "_spots", "diagnostics")

    def __init__(self, document: Document) -> None:
        self._document = document
        self._spots: dict[Path, Spot] | None = None
        self.diagnostics: list[Diagnostic] = []

    def place(self, path: Path) -> Location:
        """Return the place of the value at `path`, or of its nearest written parent."""
        if self._spots is None:
            self._spots = dict(self._document.walk())
        return nearest(self._spots, path).value

    def add(
        self, code: str, path: Path, detail: str, fix: str, severity: Severity = Severity.ERROR
    ) -> None:
        """Add a finding about the value at `path`, or about its nearest written parent."""
        document = self._document
        name = document.name
        self.diagnostics.append(
            found(
                code, detail, fix, self.place(path), severity=severity,
                address=f"{document.kind}/{name}" if name else None,
            )
        )  # fmt: skip
