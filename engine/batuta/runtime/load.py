"""Reads the manifests of a workspace: finds files, asks the parse cache, resolves.

A file whose size, time and inode are those of the last run is not opened; one that is younger
than two seconds is always read, since a second writing in the same instant would not show.
"""

import gc
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from batuta.core.egress.findings import bad_patterns, lint
from batuta.manifest.compose import MAX_BYTES
from batuta.manifest.declarations import Declarations
from batuta.manifest.load import Documents, Text, load_documents
from batuta.manifest.resolve import Request, Resolution, environments, resolve
from batuta.model.diagnostic import BatutaError, Diagnostic, Location, Severity
from batuta.model.resource import Dataset, Desired, Origin, Platform
from batuta.runtime.cache import Cache
from batuta.runtime.clock import wall_s
from batuta.runtime.connections import implicit_platform
from batuta.runtime.registry import connectors, declarations
from batuta.runtime.workspace import MANIFEST, WorkspacePlaces, manifest_files, overlay_files

_YOUNG_S = 2
_EVERYTHING = ("**/*.yaml",)
_VARIABLE = "BATUTA_VAR_"
_KIND = "manifest"
COMMAND_LINE = "<command line>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The desired state (None where there is an error) and all findings, in order of place.

    `unchecked` says in sentences what an offline check cannot know.
    """

    desired: Desired | None
    diagnostics: tuple[Diagnostic, ...]
    files: int
    unchecked: tuple[str, ...] = (
        "whether sources and destinations exist and can be reached",
        "whether credentials resolve and suffice",
    )


class _Kept:
    """The parse cache over the cache file: read once, written once."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._known: dict[str, bytes] | None = None
        self._fresh: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        if self._known is None:
            self._known = self._cache.everything(_KIND)
        return self._known.get(key)

    def put(self, key: str, content: bytes) -> None:
        self._fresh[key] = content

    def flush(self, *, most: int) -> None:
        """Write what is new; a cache that grew far beyond what is in use begins anew."""
        if self._known is not None and self._fresh and len(self._known) > 4 * most + 1000:
            self._cache.drop(_KIND)
        self._cache.put(_KIND, self._fresh)
        self._fresh = {}


@dataclass
class Loader:
    """Loads one workspace; `process` is the environment that variables may come from."""

    places: WorkspacePlaces
    cache: Callable[[], Cache]
    environment: str | None
    variables: Mapping[str, str]
    process: Mapping[str, str]
    _texts: dict[str, bytes] = field(default_factory=dict)

    def load(self) -> Validation:
        """Read and resolve everything; nothing outside the workspace is contacted."""
        resolution, files = self._resolve(self._kept())
        return Validation(
            desired=resolution.desired, diagnostics=resolution.diagnostics, files=files
        )

    def passed_by(self) -> tuple[str, ...]:
        """Return files that end in `.yml` and that no glob of the workspace takes."""
        if not self.places.declared:
            return ()
        read = set(self._files(None))
        return tuple(f for f in manifest_files(self.places.root, ("**/*.yml",)) if f not in read)

    def explained(self) -> Resolution:
        """Resolve without the cache, so that every value's origin is known (`render`)."""
        return self._resolve(None)[0]

    def single(self, text: str) -> Dataset:
        """Return the Dataset of a one-resource manifest, resolved among the workspace's Platforms.

        Raises:
            BatutaError: MAN codes, at `<command line>` or in the workspace's own files.
        """
        resolution, _ = self._resolve(None, extra=text)
        if resolution.desired is None:
            raise BatutaError(*resolution.diagnostics)
        names = {d.name for d in resolution.desired.datasets if self._is_command(d)}
        found = next(d for d in resolution.desired.datasets if d.name in names)
        # A plan over manifests must not take what a command made for a document that is gone.
        return replace(found, origin=Origin.COMMAND)

    def platforms(self, text: str) -> tuple[Platform, ...]:
        """Return the Platforms in use when `text` is resolved beside the workspace's documents."""
        resolution, _ = self._resolve(None, extra=text)
        return resolution.desired.platforms if resolution.desired is not None else ()

    def text(self, file: str) -> str | None:
        """Return the text of a manifest, None where it cannot be read."""
        content = self._texts.get(file)
        if content is None:
            try:
                content = _start_of(self.places.root / file)
            except (OSError, ValueError):
                return None
        return content.decode("utf-8", errors="replace")

    @staticmethod
    def _is_command(dataset: Dataset) -> bool:
        return any(place.file == COMMAND_LINE for place in dataset.place("metadata"))

    def _kept(self) -> _Kept | None:
        return _Kept(self.cache()) if self.places.declared else None

    def _resolve(self, kept: _Kept | None, extra: str | None = None) -> tuple[Resolution, int]:
        collecting = gc.isenabled()
        gc.disable()  # composing builds many small objects that all live on
        try:
            texts = [self._text(path) for path in self._files(kept)]
            if extra is not None:
                self._texts[COMMAND_LINE] = extra.encode()
                texts.append(Text(COMMAND_LINE, extra.encode))
            documents, findings = load_documents(texts, cache=kept)
            resolution = resolve(
                documents,
                self._request(one_line=extra is not None),
                overlays=[self._text(path) for path in self._overlays(documents)],
                cache=kept,
            )
        finally:
            if collecting:
                gc.enable()
        if kept is not None:
            kept.flush(most=len(texts))
        found_all = (*findings, *resolution.diagnostics, *_unsafe(resolution.desired))
        diagnostics = tuple(sorted(found_all, key=lambda d: (d.locations, d.code)))
        failed = any(d.severity is Severity.ERROR for d in diagnostics)
        desired = None if failed else resolution.desired
        found = Resolution(desired, diagnostics, resolution.documents, resolution.variables)
        return found, len(texts)

    def _request(self, *, one_line: bool) -> Request:
        ambient = {
            name.removeprefix(_VARIABLE): value
            for name, value in self.process.items()
            if name.startswith(_VARIABLE)
        }
        return Request(
            declarations=self.declarations,
            environment=self.environment,
            variables=self.variables,
            ambient={**{name.lower(): value for name, value in ambient.items()}, **ambient},
            implicit=self._implicit() if one_line else {},
        )

    @cached_property
    def declarations(self) -> dict[str, Declarations]:
        """What each platform type may say, from the connectors' own declarations."""
        return declarations()

    def _implicit(self) -> dict[str, Platform]:
        """For one-line commands: a Platform per type, made from the vendor's own defaults."""
        return {
            connector.platform_type: implicit_platform(connector, self.process)
            for connector in connectors().values()
            if connector.implicit is not None
        }  # fmt: skip

    def _files(self, kept: _Kept | None) -> list[str]:
        if not self.places.declared:
            return []
        patterns = self._patterns(kept)
        return sorted({MANIFEST, *manifest_files(self.places.root, patterns)})

    def _patterns(self, kept: _Kept | None) -> tuple[str, ...]:
        """The globs of the Workspace document; it must stand in `batuta.yaml`."""
        documents, _ = load_documents([self._text(MANIFEST)], cache=kept)
        for document in documents:
            spec = document.value.get("spec") if isinstance(document.value, dict) else None
            globs = spec.get("manifests") if isinstance(spec, dict) else None
            if document.kind == "Workspace" and isinstance(globs, list):
                return tuple(text for text in globs if isinstance(text, str))
        return _EVERYTHING

    def _overlays(self, documents: Documents) -> list[str]:
        if self.environment is None:
            return []
        each = (document for _, document in documents.looked_through())
        workspace = next((document for document in each if document.kind == "Workspace"), None)
        folder = environments(workspace).get(self.environment) if workspace else None
        return overlay_files(self.places.root, folder) if folder else []

    def _text(self, path: str) -> Text:
        full = os.path.join(self.places.root, path)
        stamp = ""
        try:
            seen = os.stat(full)
            if wall_s() - seen.st_mtime > _YOUNG_S:
                stamp = f"{seen.st_size}:{seen.st_mtime_ns}:{seen.st_ino}"
        except OSError:
            pass
        return Text(path, lambda: _read(full, path), stamp)


def _unsafe(desired: Desired | None) -> list[Diagnostic]:
    """Return what is wrong with egress policies whatever dataset they are for."""
    policies = desired.egress_policies if desired is not None else ()
    return [found for each in policies for found in (*bad_patterns(each), *lint(each))]


def _start_of(path: str | Path) -> bytes:
    """Read a manifest, and of one that is too large only enough to see that it is."""
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _read(full: str, path: str) -> bytes:
    try:
        return _start_of(full)
    except OSError as error:
        raise BatutaError(
            Diagnostic(
                code="MAN190",
                summary="A manifest cannot be read",
                detail=f"{path}: {os.strerror(error.errno or 0)}.",
                fix="Mend its permissions, or leave it out with `spec.manifests`.",
                locations=(Location(path, 1, 1),),
            )
        ) from error
