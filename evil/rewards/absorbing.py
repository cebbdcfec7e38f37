"""The absorbing state: where an episode that terminated is taken to go on.

Without it, ending an episode is worth nothing, and the sign of the reward decides whether living
or dying pays. With it, dying earns the reward of a state that the expert never enters, for as many
steps as the horizon has, whatever the reward's level is.

The state is all zeros in standardised units, with an indicator of one that ordinary states lack.

Where a learner has rows of that state itself, they say so in their origin and are paid one by one.

Reference: kostrikov2019dac
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from evil.seams import Key, Transition


def extend(features: Array, rows: Transition) -> Array:
    """Features `[..., F]` of rows with their indicator: `[..., F + 1]`."""
    extended = jnp.concatenate([features, jnp.zeros_like(features[..., :1])], axis=-1)
    among = getattr(rows.origin, "is_absorbing", None)
    if among is None:
        return extended
    return jnp.where(among[..., None], state(features.shape[-1]), extended)


def state(num_features: int) -> Array:
    """The absorbing state `[F + 1]`."""
    return jnp.zeros(num_features + 1).at[-1].set(1.0)


def visit(key: Key, extended: Array, terminated: Array, steps: int) -> Array:
    """Extended states `[N, F + 1]`, of which some are replaced by the absorbing one.

    Each with the share of time that it takes up if every end among `terminated [N]` is followed
    by so many steps there.
    """
    spent = terminated.mean() * steps
    replaced = jax.random.bernoulli(key, spent / (1.0 + spent), terminated.shape)
    return jnp.where(replaced[:, None], state(extended.shape[-1] - 1), extended)


def continued(values: Array, rows: Transition, value: Array, steps: int) -> Array:
    """Rewards `[...]` with those of the absorbing state, `value` per step, paid at once.

    Not where the rows of that state are paid for themselves.
    """
    if getattr(rows.origin, "is_absorbing", None) is not None:
        return values
    return values + jnp.where(rows.terminated, steps * value, 0.0)
