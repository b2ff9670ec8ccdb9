"""Words that services answer with, without the secrets that they were asked with.

Some services and proxies repeat a refused request in their answer, key, token and signature
included. What is said of a failure goes into plans, logs and onto screens, so it passes here.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from types import GeneratorType
from typing import Any, cast
from urllib.parse import quote

from batuta.model.connector import Files
from batuta.model.diagnostic import BatutaError, Diagnostic

TAKEN_OUT = "[taken out]"
_LEAST = 6
"""Shorter values are names; taking them out would garble what is said."""

_SIGNED = re.compile(r"X-Amz-(?:Signature|Credential|Security-Token)=[^&\s<>\"']+")


def without(diagnostic: Diagnostic, secrets: Collection[str]) -> Diagnostic:
    """Return `diagnostic` without the values of `secrets`, plain or as they stand in a URL."""
    detail = _SIGNED.sub(TAKEN_OUT, diagnostic.detail)
    for value in sorted(secrets, key=len, reverse=True):
        for spelled in {value, quote(value, safe="")} if len(value) >= _LEAST else ():
            detail = detail.replace(spelled, TAKEN_OUT)
    return replace(diagnostic, detail=detail) if detail != diagnostic.detail else diagnostic


class DiscreetFiles:
    """A store of files whose refusals never repeat a secret of its connection."""

    def __init__(self, files: Files, secrets: Collection[str]) -> None:
        self._files = files
        self._secrets = secrets

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._files, name)
        if not callable(found):
            return found

        def asked(*arguments: Any, **named: Any) -> Any:
            try:
                answer = found(*arguments, **named)
            except BatutaError as error:
                self._take_out(error)
                raise
            return self._each(answer) if isinstance(answer, GeneratorType) else answer

        return asked

    def _each(self, answer: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from answer
        except BatutaError as error:
            self._take_out(error)
            raise

    def _take_out(self, error: BatutaError) -> None:
        error.diagnostics = tuple(without(d, self._secrets) for d in error.diagnostics)
        error.args = error.diagnostics


def discreet(files: Files, secrets: Collection[str]) -> Files:
    """Return `files`, wrapped where its connection has secrets."""
    return cast("Files", DiscreetFiles(files, secrets)) if secrets else files
