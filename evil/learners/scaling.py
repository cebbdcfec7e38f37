"""Rewards in units of the spread of their discounted sums."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from evil import normalise
from evil.learners import returns
from evil.pytrees import pytree


@pytree
class ReturnScale:
    """The spread of discounted reward sums, by which rewards are divided."""

    moments: normalise.Moments
    running: Array  # [B] discounted sum of each episode in progress


def init(batch: int) -> ReturnScale:
    """No rewards yet, in `batch` episodes."""
    return ReturnScale(moments=normalise.init(()), running=jnp.zeros(batch))


def scale_rewards(
    state: ReturnScale, rewards: Array, done: Array, *, discount: Array | float
) -> tuple[ReturnScale, Array]:
    """Divide rewards `[T, B]` by the deviation of all discounted sums so far, these included."""
    totals, running = returns.running_returns(rewards, done, state.running, discount=discount)
    moments = normalise.update(state.moments, totals)
    return ReturnScale(moments=moments, running=running), normalise.scale(moments, rewards)
