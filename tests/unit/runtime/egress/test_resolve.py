"""Names are resolved in time or not at all."""

import threading
import time

import pytest

from batuta.runtime.egress import resolve
from batuta.runtime.egress.resolve import ResolveError, SystemResolver


def test_a_name_that_the_machine_knows() -> None:
    assert "127.0.0.1" in SystemResolver()("localhost", 5)


def test_a_name_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResolveError) as error:
        SystemResolver()("a..b", 5)
    assert error.value.code in {"dns.nxdomain", "dns.failed"}


def test_a_lookup_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()

    def hang(host: str) -> tuple[str, ...]:
        forever.wait(10)
        return (host,)

    monkeypatch.setattr(resolve, "_addresses", hang)
    resolver = SystemResolver()
    others = threading.active_count()
    start = time.monotonic()
    with pytest.raises(ResolveError) as error:
        resolver("slow.test", 0.2)
    assert error.value.code == "dns.timeout"
    assert time.monotonic() - start < 2
    # All places taken: others wait for one, no longer than they may.
    for number in range(resolve.AT_ONCE):
        with pytest.raises(ResolveError):
            resolver(f"slow{number}.test", 0.01)
    assert threading.active_count() <= others + resolve.AT_ONCE
    forever.set()


def test_an_answer_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(host: str) -> tuple[str, ...]:
        asked.append(host)
        return ("23.20.0.10",)

    monkeypatch.setattr(resolve, "_addresses", answer)
    resolver = SystemResolver()
    for _ in range(5):
        resolver("a.test", 1)
    assert asked == ["a.test"]
    for number in range(2 * resolve.KEEP_NAMES):
        resolver(f"{number}.test", 1)
    resolver("a.test", 1)
    assert asked.count("a.test") == 2
