"""What a sweep has found: the table of its lanes, and its points by rank."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from evil.evaluation.statistics import interquartile_interval, interquartile_mean
from evil.experiments import recover
from evil.experiments.shared import measure
from evil.experiments.shared.problem import Problem, random_return
from evil.running import memory
from evil.seams import Key

SUMS = ("env_steps", "wall_s", "compile_s")  # over groups


def summarise(
    swept: str,
    config: recover.Config,
    problem: Problem,
    key: Key,
    groups: list[dict[str, Any]],
) -> dict[str, Any]:
    """The summary by the contract of the run directory, of what each group reports.

    A group reports `lanes`, one row per lane, and SUMS, the steps of all its lanes together.
    """
    rows = [row for group in groups for row in group["lanes"]]
    steps, wall_s, compile_s = (sum(group[name] for group in groups) for name in SUMS)
    return {
        "env": problem.env.spec.name,
        "backend": problem.env.spec.backend,
        "algorithm": f"sweep of {swept}",
        "preset": config.preset,
        "seed": config.seed,
        "seeds": config.num_seeds,
        "expert_return": problem.expert_return,
        "random_return": random_return(problem, key, config.evaluation_episodes),
        "env_steps": steps,
        "wall_s": wall_s,
        "compile_s": compile_s,
        "env_steps_per_s": steps / max(wall_s, 1e-9),
        "peak_memory_mb": max(
            [memory.peak_memory_mb(), *(group.get("peak_memory_mb", 0.0) for group in groups)]
        ),
        "predicted_memory_mb": max(group["predicted_memory_mb"] for group in groups),
        "final_return": measure.summarise(np.array([[row["return"]] for row in rows])),
        "ranking": ranking(rows),
        "lanes": rows,
    }


def ranking(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points by the interquartile mean of their seeds' objectives, the best one first."""
    by_point: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_point.setdefault(json.dumps(row["point"], sort_keys=True), []).append(row)
    found = []
    for own in by_point.values():
        values = [row["objective"] for row in own]
        found.append(
            {
                "point": own[0]["point"],
                "objective": interquartile_mean(values),
                "interval": interquartile_interval([values]),
                "per_seed": values,
            }
        )
    return sorted(found, key=lambda entry: -entry["objective"])
