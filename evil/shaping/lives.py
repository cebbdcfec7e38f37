"""What a learner's life was worth: running sums of its learning curve, never the curve itself.

    area_under_curve = (1/n) Σ_i J_i        the time-average of the curve
    last             = J_n                  where it ended

J_i is the mean return of the most recently completed episode of each environment after iteration i.
Iterations before the first episode has ended say nothing and are left out.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil.pytrees import pytree
from evil.seams import Learner, Metrics, PyTree

Fitness = Literal["area_under_curve", "last"]
FITNESS = ("area_under_curve", "last")
CURVES = {"real": "agent/return", "recovered": "agent/scored_return"}


@pytree
class Tally:
    """Sums over the iterations so far."""

    total: Array  # [] of J
    count: Array  # [] of iterations in it
    last: Array  # [] J of the last one


def empty() -> Tally:
    """Before the first iteration."""
    return Tally(total=jnp.zeros(()), count=jnp.zeros(()), last=jnp.zeros(()))


def add(tally: Tally, metrics: Metrics, curve: str) -> Tally:
    """The tally after one more iteration with a learner's metrics."""
    value, known = metrics[CURVES[curve]], metrics["agent/length"] > 0
    return Tally(
        total=tally.total + jnp.where(known, value, 0.0),
        count=tally.count + known,
        last=jnp.where(known, value, tally.last),
    )


def worth(tally: Tally, fitness: str) -> Array:
    """Fitness `[]` of a life; 0 where no episode ever ended."""
    if fitness == "last":
        return tally.last
    return tally.total / jnp.maximum(tally.count, 1.0)


def live(
    learner: Learner, state: PyTree, reward_params: PyTree, tally: Tally, num: int, curve: str
) -> tuple[PyTree, Tally]:
    """`num` iterations of a learner on one reward."""

    def advance(carry: tuple[PyTree, Tally], nothing: None) -> tuple[tuple[PyTree, Tally], None]:
        state, tally = carry
        state, _rollout, metrics = learner.step(state, reward_params)
        return (state, add(tally, metrics, curve)), None

    (state, tally), _ = jax.lax.scan(advance, (state, tally), length=num)
    return state, tally
