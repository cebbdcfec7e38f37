"""What a run shows while it runs: live bars on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import IO, Any, Protocol

SHOWN = ("agent/return", "reward/gap", "clone/validation_loss")  # where the algorithm has them
SECONDS_BETWEEN_LINES = 30.0


class Progress(Protocol):
    """Whoever watches a run. One phase at a time: `start`, any number of `update`s, `finish`."""

    def start(self, phase: str, iteration: int, iterations: int) -> None: ...

    def update(self, iteration: int, speed: str, metrics: Mapping[str, float]) -> None: ...

    def note(self, text: str) -> None: ...

    def finish(self) -> None: ...


def choose(
    quiet: bool = False, shown: tuple[str, ...] = SHOWN, stream: IO[str] | None = None
) -> Progress:
    """Bars, lines or silence, whichever suits `stream` (default: standard output)."""
    stream = stream or sys.stdout
    if quiet or stream is None:  # a process may have no standard output
        return Quiet()
    return Bars(shown, stream) if stream.isatty() else Lines(shown, stream)


class Quiet:
    """Nothing at all."""

    def start(self, phase: str, iteration: int, iterations: int) -> None:
        pass

    def update(self, iteration: int, speed: str, metrics: Mapping[str, float]) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass


class Lines:
    """One line now and then, for log files."""

    def __init__(
        self, shown: tuple[str, ...], stream: IO[str], interval_s: float = SECONDS_BETWEEN_LINES
    ) -> None:
        self._shown, self._stream, self._interval_s = shown, stream, interval_s
        self._phase, self._iterations, self._first = "", 0, 0
        self._started = self._last_line = 0.0

    def start(self, phase: str, iteration: int, iterations: int) -> None:
        self._phase, self._first, self._iterations = phase, iteration, iterations
        self._started = self._last_line = time.monotonic()
        self.note(f"{phase}: iteration {iteration} of {iterations}")

    def update(self, iteration: int, speed: str, metrics: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._last_line < self._interval_s and iteration < self._iterations:
            return
        self._last_line = now
        elapsed = now - self._started
        left = elapsed * (self._iterations - iteration) / max(iteration - self._first, 1)
        parts = [
            f"{self._phase}: {iteration}/{self._iterations}",
            f"elapsed {_clock(elapsed)}",
            f"left {_clock(left)}",
            speed,
            *_chosen(metrics, self._shown),
        ]
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def finish(self) -> None:
        pass


class Bars:
    """A live bar per phase, with the time left, the speed and a few metrics."""

    def __init__(self, shown: tuple[str, ...], stream: IO[str]) -> None:
        from rich.console import Console

        self._shown = shown
        self._console = Console(file=stream)
        self._bars: Any = None
        self._task: Any = None

    def start(self, phase: str, iteration: int, iterations: int) -> None:
        from rich import progress

        self._bars = progress.Progress(
            progress.TextColumn("[bold]{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[shown]}", markup=False),
            console=self._console,
        )
        self._bars.start()
        self._task = self._bars.add_task(phase, total=iterations, completed=iteration, shown="")

    def update(self, iteration: int, speed: str, metrics: Mapping[str, float]) -> None:
        shown = "  ".join([speed, *_chosen(metrics, self._shown)])
        self._bars.update(self._task, completed=iteration, shown=shown)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def finish(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _chosen(metrics: Mapping[str, float], shown: tuple[str, ...]) -> list[str]:
    """The metrics asked for, or the first two where the algorithm has none of those."""
    names = [name for name in shown if name in metrics] or list(metrics)[:2]
    return [f"{name} {metrics[name]:.4g}" for name in names]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
