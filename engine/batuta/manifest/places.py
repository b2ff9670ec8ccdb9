"""Places of a resource's fields, found in its document when the first one is asked for."""

from collections.abc import Callable, Iterator, Mapping

from batuta.model.diagnostic import Location


class Places(Mapping[str, Location]):
    """A mapping of spelled paths to places that is computed once, on first use.

    Of ten thousand resources a plan cites a few; spelling the paths of all of them would cost
    more than reading them.
    """

    __slots__ = ("_compute", "_found")

    def __init__(self, compute: Callable[[], Mapping[str, Location]]) -> None:
        self._compute = compute
        self._found: Mapping[str, Location] | None = None

    def _all(self) -> Mapping[str, Location]:
        if self._found is None:
            self._found = self._compute()
        return self._found

    def __getitem__(self, path: str) -> Location:
        return self._all()[path]

    def __contains__(self, path: object) -> bool:
        return path in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())
