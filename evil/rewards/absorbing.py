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


def share(ends_per_step: Array, steps: int) -> Array:
    """Share of time `[]` spent in the absorbing state if so many steps there follow every end."""
    spent = ends_per_step * steps
    return spent / (1.0 + spent)


def visit(key: Key, extended: Array, terminated: Array, steps: int) -> Array:
    """Extended states `[N, F + 1]`, of which some are replaced by the absorbing one.

    Each with the `share` of time that it takes up, by the ends among `terminated [N]`.
    """
    replaced = jax.random.bernoulli(key, share(terminated.mean(), steps), terminated.shape)
    return jnp.where(replaced[:, None], state(extended.shape[-1] - 1), extended)


def continued(values: Array, rows: Transition, value: Array, steps: int) -> Array:
    """Rewards `[...]` with those of the absorbing state, `value` per step, paid at once.

    Where there are rows of that state, they are paid instead.
    """
    among = getattr(rows.origin, "is_absorbing", None)
    if among is not None:
        return jnp.where(among, value, values)
    return values + jnp.where(rows.terminated, steps * value, 0.0)
