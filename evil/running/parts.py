"""More lanes than fit into memory: parts of a phase, one after the other, by the same programs.

How many lanes a program takes is read off the compiled program itself, before anything runs, and
kept in the run directory, so that a resumed run is cut up as it was.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil.errors import UserError, at_least
from evil.running import files, lanes, leaves, memory, processes
from evil.running.phase import Outcome, Phase
from evil.running.runner import run
from evil.running.session import Session

SHARE = 0.8  # of the memory that is free: the host, and what is loaded meanwhile, need some


@dataclasses.dataclass(frozen=True)
class Parts:
    """A phase cut up, and the programs that all parts share."""

    phases: list[Phase]  # of equal numbers of lanes; the last one may repeat the last lane
    lanes: int  # of the whole, without repetitions
    programs: Callable[[], lanes.Programs]
    predicted_memory_mb: float = math.nan  # at the peak; NaN where it was not asked

    def place(self, lane: int) -> tuple[str, int]:
        """The phase name and lane number under which a lane of the whole is logged."""
        size = self.phases[0].lanes
        return self.phases[lane // size].name, lane % size

    def run(self, session: Session) -> Outcome:
        """All parts, as one outcome, whose states lie on the host if there is more than one."""
        outcomes = []
        for part in self.phases:
            found = run(part, session, self.programs)
            if len(self.phases) > 1:  # the device is for the next part
                found = dataclasses.replace(found, states=jax.tree.map(_on_host, found.states))
            outcomes.append(found)
        return joined(outcomes, self.lanes)


def cut(
    phase: Phase,
    session: Session,
    lanes_per_program: int = 0,
    free: Callable[[], int] = memory.free_bytes,
) -> Parts:
    """Cut a phase into parts of `lanes_per_program` lanes; 0: of as many as fit.

    `free` says how many bytes there are. A single lane is tried whether it fits or not.
    """
    at_least(0, lanes_per_program=lanes_per_program)
    size = lanes_per_program or processes.first(lambda: _remembered(phase, session))
    if size:
        parts = list(_parts(phase, size))
        return Parts(parts, phase.lanes, functools.cache(lambda: lanes.compile_phase(parts[0])))
    size = phase.lanes
    while True:
        parts = list(_parts(phase, size))
        usable = SHARE * processes.least(free())
        programs = _compiled(parts[0])
        if programs and (programs.peak_bytes <= usable or size == 1):
            break
        share = usable / programs.peak_bytes if programs else 0.5
        size = max(1, min(size - 1, int(size * share)))
    kept = parts[0].state_bytes if session.directory is not None else 0
    predicted = memory.predicted_mb(programs.peak_bytes, kept)
    session.progress.note(
        f"{phase.name}: {parts[0].lanes} of {phase.lanes} lanes at a time, "
        f"{predicted:,.0f} MiB at the peak"
    )
    processes.first(lambda: _remember(phase, session, parts[0].lanes))
    return Parts(parts, phase.lanes, lambda: programs, predicted)


def _compiled(phase: Phase) -> lanes.Programs | None:
    """The programs, or None if the compiler itself finds that they need more than there is."""
    try:
        return lanes.compile_phase(phase)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) or phase.lanes == 1:
            raise
        return None


def _parts(phase: Phase, size: int) -> Iterator[Phase]:
    """As few parts as there must be, as small as they then can be."""
    count = -(-phase.lanes // min(size, phase.lanes))
    if count == 1:
        yield phase
        return
    size = -(-phase.lanes // count)
    for number in range(count):
        chosen = np.minimum(np.arange(number * size, (number + 1) * size), phase.lanes - 1)
        yield dataclasses.replace(
            phase,
            name=f"{phase.name}-part-{number}",
            keys=phase.keys[chosen],
            data=phase.data_of(chosen),
            groups=(),
        )


def joined(outcomes: list[Outcome], total: int) -> Outcome:
    """What several parts have come to, as one outcome of `total` lanes."""
    if len(outcomes) == 1:
        return outcomes[0]
    size = jax.tree.leaves(outcomes[0].states)[0].shape[0]
    states = [found.states for found in outcomes]
    frozen = [
        dataclasses.replace(entry, lane=entry.lane + number * size)
        for number, found in enumerate(outcomes)
        for entry in found.frozen
    ]
    wall_s = sum(found.wall_s for found in outcomes)
    return Outcome(
        states=jax.tree.map(lambda *parts: _concatenated(parts)[:total], *states),
        iterations=max(found.iterations for found in outcomes),
        env_steps=max(found.env_steps for found in outcomes),
        wall_s=wall_s,
        compile_s=outcomes[0].compile_s,
        env_steps_per_s=outcomes[0].env_steps * total / max(wall_s, 1e-9),
        frozen=tuple(entry for entry in frozen if entry.lane < total),
        last_metrics={
            name: np.concatenate([found.last_metrics[name] for found in outcomes])[:total]
            for name in outcomes[0].last_metrics
        },
    )


def _concatenated(arrays: Sequence[jax.Array]) -> Any:
    """On the host, where there is room for all lanes; but keys are of the device alone."""
    return (np if isinstance(arrays[0], np.ndarray) else jnp).concatenate(arrays)


def _on_host(leaf: jax.Array) -> Any:
    return leaf if leaves.is_key(leaf) else np.asarray(leaf)


def _remembered(phase: Phase, session: Session) -> int:
    """How the phase was cut when this run was begun; 0 if it was not."""
    if session.directory is None or not (file := session.directory.cuts).is_file():
        return 0
    size = files.read_json(file).get(phase.name, 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise UserError(f"{file}: expected a number of lanes for {phase.name}, found {size!r}.")
    return size


def _remember(phase: Phase, session: Session, size: int) -> None:
    if session.directory is None:
        return
    file = session.directory.cuts
    before = files.read_json(file) if file.is_file() else {}
    files.write_json(file, {**before, phase.name: size})
