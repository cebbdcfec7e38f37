"""Who watches, records and may stop a run: everything the runner talks to on the host."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable

from evil.running import processes
from evil.running.checkpoints import Checkpoints
from evil.running.directory import RunDirectory
from evil.running.phase import Phase
from evil.running.progress import Progress, Quiet
from evil.running.signals import Stop
from evil.running.sinks import Sink


@dataclasses.dataclass(frozen=True)
class Session:
    """One process working on one run. `Session()` keeps everything in memory.

    Of several processes, the first one alone has a directory and sinks.
    """

    directory: RunDirectory | None = None
    sinks: tuple[Sink, ...] = ()
    progress: Progress = dataclasses.field(default_factory=Quiet)
    stop: Stop = dataclasses.field(default_factory=Stop)
    checkpoint_interval_s: float = 60.0
    keep: int = 2  # checkpoints per phase
    watch: Callable[[Phase], None] = lambda phase: None  # told of every phase before it begins
    memory_limit: int = sys.maxsize  # bytes that it may claim of those that are free

    def is_stopping(self) -> bool:
        """Whether any process of the run was asked to stop."""
        if processes.anybody(self.stop.requested):
            self.stop.request()
        return self.stop.requested

    def checkpoints(self, phase: str) -> Checkpoints | None:
        """Where the states of a phase are kept, if anywhere."""
        if self.directory is None:
            return None
        return Checkpoints(self.directory.checkpoints / phase, self.keep)
