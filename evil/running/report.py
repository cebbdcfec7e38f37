"""What one chunk's numbers say: which lanes broke and where, and what is worth logging."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evil.running import lanes
from evil.running.phase import Frozen, Phase, Position
from evil.running.sinks import Record
from evil.seams import PyTree


def frozen(
    lane: int,
    start: int,
    count: int,
    metrics: Mapping[str, np.ndarray],
    finite: np.ndarray,
    states: PyTree,
) -> Frozen:
    """Which quantity of a lane broke first; the first by name among those of one iteration."""
    for row in range(count):
        for name, rows in metrics.items():
            if not np.isfinite(rows[row, lane]):
                return Frozen(lane, start + row + 1, name)
    leaf = lanes.leaf_names(states)[int(np.argmin(finite[:, lane]))]
    return Frozen(lane, start + count, leaf)


def last(
    metrics: Mapping[str, np.ndarray], healthy: np.ndarray, before: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The last row of every metric, where healthy; elsewhere what it was, at first NaN."""
    unknown = np.full(healthy.shape, np.nan)
    return {
        name: np.where(healthy, rows[-1].astype(np.float64), before.get(name, unknown))
        for name, rows in metrics.items()
    }


def records(
    phase: Phase, before: Position, after: Position, metrics: Mapping[str, np.ndarray]
) -> list[Record]:
    """What the sinks get of a chunk: of a lane that froze in it, the iterations before it did."""
    end = {entry.lane: entry.iteration for entry in after.frozen}
    span_s = (after.wall_s - before.wall_s) / (after.iteration - before.iteration)
    found = []
    for iteration in range(before.iteration + 1, after.iteration + 1):
        row = iteration - before.iteration - 1
        if iteration % phase.log_every and iteration != phase.iterations:
            continue
        for lane in range(phase.lanes):
            if iteration >= end.get(lane, iteration + 1):
                continue
            name, number = phase.logged_as(lane)
            record = {
                "phase": name,
                "iteration": iteration,
                "env_steps": iteration * phase.algorithm.steps_per_iteration,
                "wall_s": round(before.wall_s + (row + 1) * span_s, 3),
                "lane": number,
            }
            found.append(record | {name: rows[row, lane] for name, rows in metrics.items()})
    return found
