"""Passes over a batch in minibatches."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from evil.errors import UserError
from evil.pytrees import take
from evil.seams import Key, Metrics, PyTree

# (carry, minibatch [n, ...], key) -> carry, metrics
Update = Callable[[PyTree, PyTree, Key], tuple[PyTree, Metrics]]


def rollout_size(num_envs: int, num_steps: int, num_minibatches: int) -> int:
    """Transitions of a rollout; UserError where minibatches do not divide it."""
    size = num_envs * num_steps
    if size % num_minibatches:
        raise UserError(
            f"{num_minibatches} minibatches do not divide a rollout of {num_envs} environments x "
            f"{num_steps} steps = {size} transitions"
        )
    return size


def passes(
    key: Key, update: Update, carry: PyTree, batch: PyTree, *, epochs: int, minibatches: int
) -> tuple[PyTree, Metrics]:
    """`update` on every minibatch of a batch `[N, ...]`, in another random order each epoch.

    `minibatches` must divide N. Returns the last carry and the means of the metrics.
    """
    size = jax.tree.leaves(batch)[0].shape[0]

    def step(carry: PyTree, inputs: tuple[jax.Array, Key]) -> tuple[PyTree, Metrics]:
        rows, key = inputs
        return update(carry, take(batch, rows), key)

    def epoch(carry: PyTree, key: Key) -> tuple[PyTree, Metrics]:
        key_order, key_update = jax.random.split(key)
        order = jax.random.permutation(key_order, size).reshape(minibatches, -1)
        return jax.lax.scan(step, carry, (order, jax.random.split(key_update, minibatches)))

    carry, metrics = jax.lax.scan(epoch, carry, jax.random.split(key, epochs))
    return carry, jax.tree.map(jnp.mean, metrics)


def updates_per_rollout(size: int, ratio: float) -> int:
    """Updates after each rollout; UserError where the ratio does not give a whole number."""
    updates = round(ratio * size)
    if updates < 1 or abs(updates - ratio * size) > 1e-6 * size:
        raise UserError(
            f"update_ratio {ratio} times the {size} transitions of a rollout is no whole number of "
            "updates"
        )
    return updates
