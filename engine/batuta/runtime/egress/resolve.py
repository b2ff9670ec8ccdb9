"""Names to addresses, in the gateway: a worker has no resolver of its own."""

import queue
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

MAX_ADDRESSES = 64
KEEP_NAMES = 256
AT_ONCE = 16

Resolver: TypeAlias = Callable[[str, float], tuple[str, ...]]
"""Given a canonical host and seconds to wait: its addresses in the order to try them.

Raises `ResolveError`.
"""


class ResolveError(Exception):
    """No usable answer; `code` is dns.nxdomain, dns.timeout, dns.failed or dns.too_many."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SystemResolver:
    """The system's own resolver, asked in threads because it knows no timeout.

    Answers are kept as long as the resolver, that is for one run: what was checked is what is
    connected to, and a name cannot come to mean another place halfway. A lookup
    that hangs holds one of 16 places until the system gives up; the connection does not wait
    for it.
    """

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._guard = threading.Lock()
        self._kept: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def __call__(self, host: str, timeout_s: float) -> tuple[str, ...]:
        """Return the addresses of `host`.

        Raises:
            ResolveError: there are none, too many, or no answer within `timeout_s`.
        """
        with self._guard:
            kept = self._kept.get(host)
        if kept is not None:
            return kept
        addresses = self._ask(host, timeout_s)
        with self._guard:
            addresses = self._kept.setdefault(host, addresses)
            self._kept.move_to_end(host)
            if len(self._kept) > KEEP_NAMES:
                self._kept.popitem(last=False)
        return addresses

    def _ask(self, host: str, timeout_s: float) -> tuple[str, ...]:
        if not self._places.acquire(timeout=timeout_s):
            raise ResolveError("dns.timeout")
        answers: queue.SimpleQueue[tuple[str, ...] | str] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(_addresses(host))
            except ResolveError as error:
                answers.put(error.code)
            finally:
                self._places.release()

        threading.Thread(target=look_up, name="egress-dns", daemon=True).start()
        try:
            answer = answers.get(timeout=timeout_s)
        except queue.Empty:
            raise ResolveError("dns.timeout") from None
        if isinstance(answer, str):
            raise ResolveError(answer)
        return answer


def _addresses(host: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        absent = error.errno in {socket.EAI_NONAME, socket.EAI_NODATA}
        raise ResolveError("dns.nxdomain" if absent else "dns.failed") from error
    except (OSError, UnicodeError) as error:
        raise ResolveError("dns.failed") from error
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    if len(addresses) > MAX_ADDRESSES:
        raise ResolveError("dns.too_many")
    return addresses
