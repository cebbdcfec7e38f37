"""Discounted sums along rollouts; `T` is time, everything else is batch."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from jax import Array


def advantages(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    truncated: Array,
    *,
    discount: Array | float,
    lambda_: Array | float,
) -> Array:
    """Generalised advantage estimates `[T, B]`, cut at episode ends, bootstrapped at time limits.

        δ_t = r_t + γ (1 - terminated_t) V(s'_t) - V(s_t)
        A_t = δ_t + γ λ (1 - terminated_t)(1 - truncated_t) A_{t+1}

    `next_values` are values of the true successors, before any reset, so that a truncated step
    still bootstraps. Advantages are in reward units and not standardised.

    Reference: schulman2016gae
    """
    chex.assert_equal_shape([rewards, values, next_values, terminated, truncated])
    deltas = rewards + discount * jnp.where(terminated, 0.0, next_values) - values
    weights = jnp.where(terminated | truncated, 0.0, discount * lambda_)

    def backwards(following: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, weight = inputs
        advantage = delta + weight * following
        return advantage, advantage

    zeros = jnp.zeros_like(deltas[-1])
    return jax.lax.scan(backwards, zeros, (deltas, weights), reverse=True)[1]


def running_returns(
    rewards: Array, done: Array, initial: Array, *, discount: Array | float
) -> tuple[Array, Array]:
    """Discounted sums of the rewards so far, forwards in time: `[T, B]`, and the carry `[B]`.

        R_t = γ R_{t-1} (1 - done_{t-1}) + r_t

    The sum restarts with the step *after* an end, so the last reward of an episode belongs to
    that episode. The spread of R is the scale by which rewards are divided.
    """
    chex.assert_equal_shape([rewards, done])

    def forwards(carry: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, ended = inputs
        total = discount * carry + reward
        return jnp.where(ended, 0.0, total), total

    carry, totals = jax.lax.scan(forwards, initial, (rewards, done))
    return totals, carry


def explained_variance(predictions: Array, targets: Array) -> Array:
    """Share of the targets' variance that predictions explain: 1 is perfect, 0 a constant."""
    return 1.0 - jnp.var(targets - predictions) / (jnp.var(targets) + 1e-8)
