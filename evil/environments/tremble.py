"""A hand that trembles: with some probability an action is replaced by a random one."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import UserError
from evil.seams import Environment, Key, PyTree, Step


def make(env: Environment, probability: float) -> Environment:
    """The environment with actions replaced, each with `probability`, by uniform ones."""
    if not 0.0 <= probability <= 1.0:
        raise UserError(f"expected a probability of trembling in [0, 1], found {probability}.")
    spec = env.spec

    def any_action(key: Key) -> Array:
        if spec.num_actions is not None:
            return jax.random.randint(key, (), 0, spec.num_actions)
        low, high = jnp.array(spec.action_low), jnp.array(spec.action_high)
        return jax.random.uniform(key, (spec.action_size,), minval=low, maxval=high)

    def step(key: Key, state: PyTree, action: Array, params: PyTree) -> tuple[PyTree, Step]:
        key_coin, key_action, key = jax.random.split(key, 3)
        trembles = jax.random.bernoulli(key_coin, probability)
        applied = jnp.where(trembles, any_action(key_action).astype(action.dtype), action)
        return env.step(key, state, applied, params)

    return dataclasses.replace(env, step=step)
