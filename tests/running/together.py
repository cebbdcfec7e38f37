"""One process of a run: `python together.py DIRECTORY STATES [STOP]`, see test_processes.py.

Runs four lanes of the tiny algorithm, of which one breaks, and writes the states that this process
has in the end to STATES. With STOP, the last process asks to stop after its second chunk.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evil.running import command, processes
from evil.running.directory import RunDirectory
from evil.running.phase import Phase
from evil.running.progress import Quiet
from evil.running.runner import Session, run
from evil.running.signals import Stop
from evil.running.sinks import JsonLines
from tests.running import tiny


def phase() -> Phase:
    return tiny.phase(
        keys=jax.random.split(jax.random.key(7), 4),
        iterations=22,
        broken_metric=(tiny.NEVER,) * 4,
        broken_state=(tiny.NEVER, tiny.NEVER, tiny.NEVER, 6),
    )


class Stopping(Quiet):
    """Shows nothing, and asks to stop."""

    def __init__(self, stop: Stop) -> None:
        self.stop, self.left = stop, 2

    def update(self, *shown: Any) -> None:
        self.left -= 1
        if not self.left:
            self.stop.request()


def body() -> None:
    path, states, *stops = sys.argv[1:]
    found: list[RunDirectory] = []

    def open_directory() -> None:
        is_begun = (Path(path) / "config.json").exists()
        opened = RunDirectory.open(path) if is_begun else RunDirectory.create(path, tiny.CONFIG)
        found.append(opened)

    processes.first(open_directory)
    directory, stop = found[0] if found else None, Stop()
    is_last = jax.process_index() == processes.count() - 1
    outcome = run(
        phase(),
        Session(
            directory,
            (JsonLines(directory.metrics),) if directory else (),
            Stopping(stop) if stops and is_last else Quiet(),
            stop,
            checkpoint_interval_s=0.0,
        ),
    )
    # Everything here, on this process's own devices.
    np.savez(states, *[np.asarray(plain(leaf)) for leaf in jax.tree.leaves(outcome.states)])


def plain(leaf: Any) -> Any:
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


if __name__ == "__main__":
    command.main(body, is_shared=True)
