"""Stopping politely: the first signal asks, the second one insists."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(Exception):
    """A run was asked to stop and has stopped, after saving what there was to save."""

    def __init__(self, phase: str, iteration: int, saved: bool) -> None:
        self.phase, self.iteration, self.saved = phase, iteration, saved
        kept = "is saved" if saved else "was not saved"
        super().__init__(
            f"interrupted in phase {phase!r} after iteration {iteration}; its state {kept}."
        )


class Stop:
    """A request to stop, honoured by the runner at the end of the current chunk."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        self.requested = True


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM into `stop.requested`; a second SIGINT raises at once.

    Outside the main thread Python allows no handlers: the flag is then only set by hand.
    """
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.request()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, handle) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
