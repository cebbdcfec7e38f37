"""Fresh learners on one reward with and without shaping terms, on the same seeds side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evil import registry
from evil.evaluation import statistics
from evil.experiments import measure
from evil.experiments.critics import Critic
from evil.rewards import combine
from evil.running.runner import Phase
from evil.seams import Environment, Key, PyTree, Score
from evil.shaping import evil, fresh, lives


def make(
    config: evil.Config,
    env: Environment,
    score: Score,
    reward_params: PyTree,
    terms: Mapping[str, Critic],
    key: Key,
    num: int,
) -> Phase:
    """`num` learners `unshaped`, and as many under each term.

    They share learner, budget, random numbers and compiled program, and differ in which term they
    heed.
    """
    count = len(terms)
    heeded = jnp.concatenate([jnp.zeros((1, count)), jnp.eye(count)])
    shaping = combine.weighted(*(term.potential.score for term in terms.values()))
    shaped = combine.shaped(score, shaping, scaled=config.scaled)
    parameters = {
        "weights": jnp.repeat(heeded, num, axis=0),
        "parts": tuple(term.params for term in terms.values()),
    }
    return Phase(
        name="fresh",
        algorithm=fresh.make(registry.make(config.learner, env, shaped)),
        data={"reward": {"reward": reward_params, "shaping": parameters}, "physics": None},
        data_axes={
            "reward": {"reward": None, "shaping": {"weights": 0, "parts": None}},
            "physics": None,
        },
        keys=jnp.tile(jax.random.split(key, num), count + 1),
        groups=tuple((name, num) for name in ("unshaped", *terms)),
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
