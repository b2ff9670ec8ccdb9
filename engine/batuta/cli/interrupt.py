"""Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the command."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from batuta.cli.views.screen import Screen


def end_on_sigterm() -> None:
    """Make SIGTERM end a command as Ctrl-C does, so that cleaning up runs. Main thread only."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def stop_quietly() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set: the way in which watching something ends."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def clean_stop(screen: Screen) -> Iterator[threading.Event]:
    """Give an event that the first signal sets; a second signal raises KeyboardInterrupt."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()
        screen.say("stopping: finishing the chunks under way; once more ends it at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
