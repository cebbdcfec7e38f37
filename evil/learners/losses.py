"""The terms of policy-gradient objectives, on plain arrays of one minibatch `[N]`."""

from __future__ import annotations

import chex
import jax.numpy as jnp
from jax import Array


def clipped_surrogate(
    log_prob: Array, old_log_prob: Array, advantage: Array, *, clip: Array | float
) -> Array:
    """PPO's pessimistic policy loss: no gain from moving a probability ratio beyond the clip.

        -mean min(ρ A, clip(ρ, 1-ε, 1+ε) A),    ρ = exp(log π - log π_old)

    Reference: schulman2017ppo
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage])
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    return -jnp.minimum(ratio * advantage, clipped * advantage).mean()


def value_error(value: Array, target: Array) -> Array:
    """Half the mean squared error of value predictions."""
    chex.assert_equal_shape([value, target])
    return 0.5 * jnp.square(value - target).mean()


def clipped_value_error(
    value: Array, old_value: Array, target: Array, *, clip: Array | float
) -> Array:
    """The larger of the value error and that of predictions moved at most `clip` from the old."""
    chex.assert_equal_shape([value, old_value, target])
    moved = old_value + jnp.clip(value - old_value, -clip, clip)
    errors = jnp.maximum(jnp.square(value - target), jnp.square(moved - target))
    return 0.5 * errors.mean()


def standardise(advantage: Array) -> Array:
    """Advantages with mean zero and unit deviation.

    Advantages that are all equal stay near zero: their rounding errors are not blown up.
    """
    return (advantage - advantage.mean()) / (advantage.std() + 1e-5)


def approximate_kl(log_prob: Array, old_log_prob: Array) -> Array:
    """Low-variance estimate of KL(π_old ‖ π) from samples of π_old, in nats."""
    log_ratio = log_prob - old_log_prob
    return jnp.mean(jnp.exp(log_ratio) - 1.0 - log_ratio)
