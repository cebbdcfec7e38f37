"""Stopping politely: the first signal asks, the second one insists."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


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


ASKING = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGUSR2"):  # what submitit has Slurm send before the time of a job is over
    ASKING.append(signal.SIGUSR2)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Turn the first SIGINT, SIGTERM or SIGUSR2 into `stop.requested`; a second SIGINT raises.

    Outside the main thread Python allows no handlers: the flag is then only set by hand.
    """
    stop = Stop()

    def interrupt() -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()

    with contextlib.ExitStack() as handlers:
        for number in ASKING:
            react = interrupt if number == signal.SIGINT else stop.request
            handlers.enter_context(handled(number, react))
        yield stop


@contextlib.contextmanager
def handled(number: signal.Signals, react: Callable[[], None]) -> Iterator[None]:
    """Call `react` at every such signal; in the main thread, outside of which nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(number, lambda *_: react())
    try:
        yield
    finally:
        signal.signal(number, previous)
