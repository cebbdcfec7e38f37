"""Fitting a network to demonstrations once, before anything is imitated."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from evil.demonstrations.demonstrations import Demonstrations
from evil.descent import ADAM, descend
from evil.seams import Key, PyTree


def fit(
    key: Key,
    params: PyTree,
    loss: Callable[[PyTree, Key], Array],
    *,
    updates: Array | int,
    learning_rate: Array | float,
    weight_decay: Array | float = 0.0,
) -> PyTree:
    """Parameters after so many steps of AdamW on `loss(params, key)`, which draws its own batch."""

    def step(index: Array, state: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        params, optimiser = state
        grads = jax.grad(loss)(params, jax.random.fold_in(key, index))
        return descend(ADAM, grads, optimiser, params, rate=learning_rate, decay=weight_decay)

    return jax.lax.fori_loop(0, updates, step, (params, ADAM.init(params)))[0]


def shuffled(key: Key, demos: Demonstrations) -> Array:
    """`demos.rows` with the valid ones in random order, before the padding."""
    order = jax.random.permutation(key, demos.rows.shape[0])
    return demos.rows[order[jnp.argsort(order >= demos.count, stable=True)]]
