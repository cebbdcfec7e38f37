"""The runner: drives any algorithm, on any number of lanes, to the end or to a clean stop.

    init ─► [ advance a chunk on the device ─► log, show, save, maybe stop ] ─► Outcome

Interrupted and resumed, a run reaches the same bits as one that was left alone. Several processes
go through this side by side; the first one reads and writes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

from evil.running import faults, lanes, mesh, processes, report, restoring
from evil.running.phase import Frozen, Outcome, Phase, Position
from evil.running.session import Session
from evil.running.signals import Interrupted
from evil.seams import PyTree

__all__ = ["Frozen", "Interrupted", "Outcome", "Phase", "Session", "run"]


def run(
    phase: Phase,
    session: Session | None = None,
    programs: Callable[[bool], lanes.Programs] | None = None,
) -> Outcome:
    """Run `phase`, or whatever of it a checkpoint in the session's directory has left to do.

    `programs(begins)` returns those of this phase, or of one of equal shapes, if somebody else sees
    to compiling them; it is told whether the phase begins or goes on, and is not called when
    nothing is left to do.

    Raises `Interrupted`, after saving, if the session was asked to stop.
    """
    session = session or Session()
    session.watch(phase)
    states, position = restoring.restored(phase, session)
    if not position.complete:
        processes.first(lambda: _rewind(phase, session, position))
        session.progress.start(phase.name, position.iteration, phase.iterations)
        try:
            begins = states is None
            compiled = programs(begins) if programs else lanes.compile_phase(phase, begins)
            states, position = _finish(phase, session, compiled, states, position)
        finally:
            session.progress.finish()
    if session.is_stopping():
        raise Interrupted(phase.name, position.iteration, saved=session.directory is not None)
    return _outcome(phase, states, position)


def _rewind(phase: Phase, session: Session, position: Position) -> None:
    for sink in session.sinks:
        for name, _ in phase.logged_groups:
            sink.rewind(name, position.iteration)


def _finish(
    phase: Phase,
    session: Session,
    programs: lanes.Programs,
    states: PyTree | None,
    position: Position,
) -> tuple[PyTree, Position]:
    """Run chunk after chunk until the phase ends or the session is stopped."""
    is_kept = processes.anybody(session.directory is not None)
    saved_iteration = None if states is None else position.iteration
    position = dataclasses.replace(position, compile_s=position.compile_s + programs.seconds)
    if states is None:
        states, position = _first(phase, programs, position)
    origin = time.perf_counter() - position.wall_s
    saved_at = time.perf_counter()
    while position.is_unfinished(phase) and not session.is_stopping():
        due = time.perf_counter() - saved_at >= session.checkpoint_interval_s
        if is_kept and position.iteration != saved_iteration and processes.anybody(due):
            _save(phase, session, mesh.whole(states), position)
            saved_iteration, saved_at = position.iteration, time.perf_counter()
        start = position
        try:
            states, position = _chunk(phase, session, programs, origin, states, position)
        except lanes.Exhausted:
            if is_kept and position.iteration not in (0, saved_iteration):
                _save(phase, session, mesh.whole(states), position)
            raise
        if broken := position.frozen[len(start.frozen) :]:
            faults.record(session, phase, programs, start.iteration, broken, states)
    position = dataclasses.replace(position, complete=not position.is_unfinished(phase))
    states = mesh.whole(states)
    if is_kept and position.iteration != saved_iteration:
        _save(phase, session, states, position)
    return states, position


@contextlib.contextmanager
def _sufficing(phase: Phase, position: Position) -> Iterator[None]:
    """`lanes.Exhausted` where the device has not enough memory after all."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not lanes.is_exhausted(error):
            raise
        raise lanes.Exhausted(phase, position.iteration) from error


def _save(phase: Phase, session: Session, states: PyTree, position: Position) -> None:
    def save() -> None:
        checkpoints = session.checkpoints(phase.name)
        if checkpoints is not None:
            checkpoints.save(position.iteration, states, position.to_json())

    processes.first(save)


def _first(phase: Phase, programs: lanes.Programs, position: Position) -> tuple[PyTree, Position]:
    started = time.perf_counter()
    with _sufficing(phase, position):
        states = jax.block_until_ready(programs.init(phase.keys, phase.data))
    return states, dataclasses.replace(position, wall_s=time.perf_counter() - started)


def _chunk(
    phase: Phase,
    session: Session,
    programs: lanes.Programs,
    origin: float,
    states: PyTree,
    position: Position,
) -> tuple[PyTree, Position]:
    """One call of the compiled program, and everything the host does about its results.

    `origin` is the moment, on `time.perf_counter`, at which `wall_s` was zero.
    """
    count = min(phase.chunk, phase.iterations - position.iteration)
    alive = position.alive(phase.lanes)
    with _sufficing(phase, position):
        states, *results = programs.advance(states, phase.data, alive, np.int32(count))
        healthy, metrics, finite = jax.device_get(results)
    metrics = {name: rows[:count] for name, rows in metrics.items()}
    frozen = [
        report.frozen(int(lane), position.iteration, count, metrics, finite, states)
        for lane in np.flatnonzero(alive & ~healthy)
    ]
    after = dataclasses.replace(
        position,
        iteration=position.iteration + count,
        wall_s=time.perf_counter() - origin,
        frozen=(*position.frozen, *frozen),
        last_metrics=report.last(metrics, healthy, position.last_metrics),
    )
    records = report.records(phase, position, after, metrics)
    processes.first(lambda: [sink.write(records) for sink in session.sinks] and None)
    _show(phase, session, position, after, healthy)
    return states, after


def _show(
    phase: Phase, session: Session, before: Position, after: Position, healthy: np.ndarray
) -> None:
    for entry in after.frozen[len(before.frozen) :]:
        name, number = phase.logged_as(entry.lane)
        session.progress.note(
            f"{name}: lane {number} is frozen: {entry.metric} was not finite in "
            f"iteration {entry.iteration}; the other lanes go on."
        )
    rate = (after.iteration - before.iteration) / max(after.wall_s - before.wall_s, 1e-9)
    steps = phase.algorithm.steps_per_iteration * phase.lanes
    speed = f"{rate * steps:,.0f} env-steps/s" if steps else f"{rate:,.1f} iterations/s"
    if healthy.any():
        means = {name: float(x[healthy].mean()) for name, x in after.last_metrics.items()}
        session.progress.update(after.iteration, speed, means)


def _outcome(phase: Phase, states: PyTree, position: Position) -> Outcome:
    env_steps = position.iteration * phase.algorithm.steps_per_iteration
    return Outcome(
        states=states,
        iterations=position.iteration,
        env_steps=env_steps,
        wall_s=position.wall_s,
        compile_s=position.compile_s,
        env_steps_per_s=env_steps * phase.lanes / max(position.wall_s, 1e-9),
        frozen=position.frozen,
        last_metrics=position.last_metrics,
    )
