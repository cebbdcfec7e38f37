"""More lanes than fit into memory: parts of a phase, one after the other, by the same programs.

How many lanes a program takes is read off the compiled program itself, before anything runs, and
kept in the run directory with the memory that was predicted, so that a resumed run is cut up as it
was. Where the first part takes more than there is after all, half as many lanes are begun anew.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil.errors import UserError, at_least
from evil.running import files, lanes, leaves, memory, processes, runner
from evil.running.phase import Outcome, Phase
from evil.running.session import Session

SHARE = 0.8  # of the memory that is free: the host, and what is loaded meanwhile, need some


@dataclasses.dataclass(frozen=True)
class Parts:
    """A phase cut up, and the programs that all parts share."""

    phases: list[Phase]  # of equal numbers of lanes; the last one may repeat the last lane
    lanes: int  # of the whole, without repetitions
    programs: Callable[[bool], lanes.Programs]
    predicted_memory_mb: float  # at the peak

    def place(self, lane: int) -> tuple[str, int]:
        """The phase name and lane number under which a lane of the whole is logged."""
        size = self.phases[0].lanes
        return self.phases[lane // size].name, lane % size

    def run(self, session: Session) -> Outcome:
        """All parts, as one outcome, whose states lie on the host if there is more than one."""
        outcomes = []
        for part in self.phases:
            found = runner.run(part, session, self.programs)
            if len(self.phases) > 1:  # the device is for the next part
                found = dataclasses.replace(found, states=jax.tree.map(_on_host, found.states))
            outcomes.append(found)
        return joined(outcomes, self.lanes)


def run(phase: Phase, session: Session, lanes_per_program: int = 0) -> tuple[Parts, Outcome]:
    """Run a phase, by parts of `lanes_per_program` lanes at most, or of as many as fit if it is 0.

    Returns how it was cut in the end, too. `lanes.Exhausted` for what does not fit, and is too far
    advanced to be begun anew.
    """
    found = cut(phase, session, lanes_per_program)
    while True:
        try:
            return found, found.run(session)
        except lanes.Exhausted as error:
            first = found.phases[0]
            has_begun = (error.phase, error.iteration) != (first.name, 0)
            if has_begun or first.lanes == 1 or processes.count() > 1:
                raise
        session.progress.note(f"{first.name}: {first.lanes} lanes at a time do not fit after all")
        found = _sized(phase, session, -(-first.lanes // 2))


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
    if before := processes.first(lambda: _remembered(phase, session)):
        parts = list(_parts(phase, before["lanes"]))
        # Which part goes on and which begin is not known yet: first states are compiled if needed.
        programs = functools.cache(lambda: lanes.compile_phase(parts[0], begins=False))
        return Parts(parts, phase.lanes, lambda _: programs(), before["predicted_memory_mb"])
    return _sized(phase, session, lanes_per_program, free)


def _sized(
    phase: Phase, session: Session, given: int, free: Callable[[], int] = memory.free_bytes
) -> Parts:
    """Parts of `given` lanes, or of as many as fit if it is 0; the run directory is told."""
    size = given or phase.lanes
    while True:
        part = next(_parts(phase, size))
        programs = _compiled(part)
        usable = SHARE * processes.least(min(free(), session.memory_limit))
        if programs and (programs.peak_bytes <= usable or given or part.lanes == 1):
            break
        share = usable / programs.peak_bytes if programs else 0.5
        size = max(1, min(part.lanes - 1, int(part.lanes * share)))
    parts = list(_parts(phase, size))
    kept = parts[0].state_bytes if session.directory is not None else 0
    predicted = memory.predicted_mb(programs.peak_bytes, kept)
    session.progress.note(
        f"{phase.name}: {parts[0].lanes} of {phase.lanes} lanes at a time, "
        f"{predicted:,.0f} MiB at the peak"
    )
    entry = {"lanes": parts[0].lanes, "predicted_memory_mb": predicted}
    processes.first(lambda: _remember(phase, session, entry))
    return Parts(parts, phase.lanes, lambda _: programs, predicted)


def all_at_once(
    phase: Phase,
    programs: Callable[[bool], lanes.Programs] | None = None,
    free: Callable[[], int] = memory.free_bytes,
) -> Callable[[bool], lanes.Programs]:
    """What returns the programs of a phase that cannot be cut up, or those that `programs` does.

    Like `programs`, it is told whether the phase begins. It raises UserError where several lanes
    need more memory than there is.
    """

    def fitting(begins: bool) -> lanes.Programs:
        found = _compiled(phase, programs, begins=begins)
        there = processes.least(free())
        if found and (found.peak_bytes <= there or phase.lanes == 1):
            return found
        needed = f"{found.peak_bytes / 2**20:,.0f} MiB" if found else "more memory than there is"
        raise UserError(
            f"{phase.name}: {phase.lanes} lanes at once take {needed}, with "
            f"{there / 2**20:,.0f} MiB free: expected fewer --num_seeds, or run_sweep.py, where "
            "lanes take turns."
        )

    return fitting


def _compiled(
    phase: Phase,
    programs: Callable[[bool], lanes.Programs] | None = None,
    *,
    begins: bool = True,
) -> lanes.Programs | None:
    """The programs, or None if the compiler itself finds that they need more than there is."""
    try:
        return programs(begins) if programs else lanes.compile_phase(phase, begins)
    except jax.errors.JaxRuntimeError as error:
        if not lanes.is_exhausted(error):
            raise
        if phase.lanes == 1:
            raise lanes.Exhausted(phase, 0) from error
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


def _remembered(phase: Phase, session: Session) -> dict[str, Any] | None:
    """How the phase was cut when this run was begun; None if it was not."""
    if session.directory is None or not (file := session.directory.cuts).is_file():
        return None
    entries = files.read_json(file)
    match found := entries.get(phase.name):
        case {"lanes": int(size), "predicted_memory_mb": int() | float()} if size > 0:
            return found
    if phase.name not in entries:
        return None
    raise UserError(
        f"{file}: expected lanes and predicted_memory_mb of {phase.name}, found {found!r}."
    )


def _remember(phase: Phase, session: Session, entry: dict[str, Any]) -> None:
    if session.directory is None:
        return
    file = session.directory.cuts
    before = files.read_json(file) if file.is_file() else {}
    files.write_json(file, {**before, phase.name: entry})
