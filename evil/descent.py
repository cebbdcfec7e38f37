"""One step of gradient descent whose size is data, so that an outer loop may vary it."""

from __future__ import annotations

import jax
import optax
from jax import Array

from evil.seams import PyTree

ADAM = optax.scale_by_adam()


def descend(
    transform: optax.GradientTransformation,
    grads: PyTree,
    optimiser: optax.OptState,
    params: PyTree,
    *,
    rate: Array | float,
    decay: Array | float = 0.0,
) -> tuple[PyTree, optax.OptState]:
    """Parameters θ - η (u + λ θ) and the state of the `transform` that makes u of the gradient.

    With Adam for the transform this is AdamW, η being `rate` and λ `decay`.

    Reference: loshchilov2019adamw
    """
    updates, optimiser = transform.update(grads, optimiser, params)
    params = jax.tree.map(lambda p, u: p - rate * (u + decay * p), params, updates)
    return params, optimiser
