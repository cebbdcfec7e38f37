"""What holds the slopes of a discriminator down."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def gradient_penalty(slopes: Array, target: Array | float, *, one_sided: bool = False) -> Array:
    """Mean squared distance of norms of `slopes [N, F]` from a target, or above; smooth at zero.

    Reference: gulrajani2017improved, petzka2018regularization
    """
    excess = jnp.sqrt(jnp.sum(jnp.square(slopes), axis=-1) + 1e-12) - target
    return jnp.mean(jnp.square(jnp.maximum(excess, 0.0) if one_sided else excess))
