"""Fresh learners on one reward with and without shaping terms, on the same seeds side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil import registry
from evil.evaluation import statistics
from evil.experiments.shared import measure
from evil.rewards import combine, potential
from evil.running.runner import Phase
from evil.seams import Environment, Key, PyTree, Score
from evil.shaping import evil, fresh, lives


@dataclasses.dataclass(frozen=True)
class Term:
    """A shaping term: a potential, and what its score reads."""

    potential: potential.Potential
    params: PyTree


def make(
    config: evil.Config,
    env: Environment,
    score: Score,
    reward_params: PyTree,
    terms: Mapping[str, Sequence[Term]],
    key: Key,
    num: int,
) -> Phase:
    """`num` learners `unshaped`, and as many under each term of each group.

    They share learner, budget, random numbers and compiled program, and differ in which term they
    heed. The terms of a group differ in their parameters alone.
    """
    scores = [group[0].potential.score for group in terms.values()]
    shaped = combine.shaped(score, combine.weighted(*scores), scaled=config.scaled)
    parts = [tuple(group[0].params for group in terms.values())]
    weights = [np.zeros(len(terms), np.float32)]
    for index, group in enumerate(terms.values()):
        for term in group:
            parts.append((*parts[0][:index], term.params, *parts[0][index + 1 :]))
            weights.append(np.eye(len(terms), dtype=np.float32)[index])
    parameters = jax.tree.map(
        lambda *x: jnp.repeat(jnp.stack(x), num, axis=0),
        *[{"weights": w, "parts": p} for w, p in zip(weights, parts, strict=True)],
    )
    sizes = {"unshaped": 1} | {name: len(group) for name, group in terms.items()}
    return Phase(
        name="fresh",
        algorithm=fresh.make(registry.make(config.learner, env, shaped)),
        data={"reward": {"reward": reward_params, "shaping": parameters}, "physics": None},
        data_axes={"reward": {"reward": None, "shaping": 0}, "physics": None},
        keys=jnp.tile(jax.random.split(key, num), len(weights)),
        groups=tuple((name, count * num) for name, count in sizes.items()),
        iterations=config.inner_iterations,
        chunk=max(1, config.inner_iterations // 20),
    )


def summarise(phase: Phase, states: PyTree, played: np.ndarray) -> dict[str, Any]:
    """Areas under the true learning curves, and final returns `played [L, E]`, by group."""
    tallies = jax.vmap(lambda tally: lives.worth(tally, "area_under_curve"))(states.tally)
    areas, found, start = np.asarray(tallies, np.float64), {}, 0
    for name, num in phase.groups:
        rows = slice(start, start + num)
        found[f"{name}_area_under_curve"] = interval(areas[rows])
        found[f"{name}_return"] = measure.summarise(played[rows])
        start += num
    return found


def interval(values: np.ndarray) -> dict[str, Any]:
    """Mean over seeds with its 95 % bootstrap interval, and the seeds."""
    low, high = statistics.bootstrap_interval(values)
    return {
        "mean": float(values.mean()),
        "low": low,
        "high": high,
        "per_seed": [float(x) for x in values],
    }
