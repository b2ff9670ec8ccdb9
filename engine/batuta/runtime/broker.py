"""The credentials of one engine: asked once, and again when what was given has ended.

A long run asks for each piece of work anew, so a value that ends meanwhile is exchanged between
two requests, without a second copy and without stopping what streams.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from batuta.model.diagnostic import Location
from batuta.runtime.clock import wall_s
from batuta.runtime.secret import Secret
from batuta.runtime.secrets import Resolved, resolve

EARLY_S = 60.0
"""How long before its end a value is exchanged: a request that begins with it has to end as well."""

_KEPT = frozenset({"command", "keyring"})
"""What is slow to ask, or asks a person; the rest is read each time."""


class Broker:
    """Resolves references; safe to be called by several threads, each of which waits its turn."""

    def __init__(
        self, environment: Mapping[str, str], root: Path, now_s: Callable[[], float] = wall_s
    ) -> None:
        self._environment = environment
        self._root = root
        self._now_s = now_s
        self._kept: dict[str, Resolved] = {}
        self._guard = threading.Lock()

    def secret(self, reference: str, where: tuple[Location, ...] = ()) -> Secret:
        """Return the value behind `reference`, fresh where the one before has ended.

        Raises:
            BatutaError: SEC101, it cannot be resolved.
        """
        with self._guard:
            known = self._kept.get(reference)
            if known is not None and not self._ended(known):
                return known.secret
            found = resolve(reference, self._environment, self._root, where)
            if reference.partition(":")[0] in _KEPT:
                self._kept[reference] = found
            return found.secret

    def forget(self, references: tuple[str, ...] | None = None) -> None:
        """Ask again at the next use: a platform refused the value (None: all of them)."""
        with self._guard:
            for name in list(self._kept) if references is None else references:
                self._kept.pop(name, None)

    def _ended(self, known: Resolved) -> bool:
        return known.expires_s is not None and known.expires_s - EARLY_S <= self._now_s()
