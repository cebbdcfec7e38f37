"""A table of rows for whole-number observations: a dense layer on their one-hot code, looked up.

    W e_i = W_i,    i = (… (o_1 n_2 + o_2) n_3 + …)

One row per combination of values, so that nothing generalises from one to another. The product
with a one-hot vector is the same, and costs as many times more as there are rows.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class Embedding(nn.Module):
    """Rows `[..., width]` for observations `[..., K]` of whole numbers below `sizes`, one each."""

    sizes: tuple[int, ...]
    width: int
    gain: float = 1.0  # deviation of the initial entries

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        shape = (math.prod(self.sizes), self.width)
        table = self.param("table", nn.initializers.normal(self.gain), shape)
        return table[number(obs, self.sizes)]


def number(obs: Array, sizes: tuple[int, ...]) -> Array:
    """The row `[...]` int32 of observations `[..., K]`; values out of range go to the nearest."""
    index = jnp.zeros(obs.shape[:-1], jnp.int32)
    for component, size in enumerate(sizes):
        value = jnp.clip(jnp.round(obs[..., component]).astype(jnp.int32), 0, size - 1)
        index = index * size + value
    return index
