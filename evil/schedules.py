"""How a step size, or another coefficient, changes over the updates that it is used for."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jax import Array

from evil.errors import unknown

Kind = Literal["constant", "linear", "harmonic"]


def rate(
    kind: Kind, initial: Array | float, final: Array | float, period: Array | int, count: Array
) -> Array:
    """The step size of update number `count`, which starts at 0.

    constant    initial
    linear      from initial to final over `period` updates, then final
    harmonic    initial / max(1, ⌊count / period⌋)
    """
    if kind == "constant":
        return jnp.asarray(initial, jnp.float32)
    if kind == "linear":
        return initial + (final - initial) * jnp.minimum(count / period, 1.0)
    if kind == "harmonic":
        return initial / jnp.maximum(1, count // period)
    raise unknown("schedule", kind, ("constant", "linear", "harmonic"))


def annealed(initial: Array | float, final: Array | float, period: int, count: Array) -> Array:
    """A coefficient at update `count`: linear over `period` updates, or constant if that is 0."""
    return rate("linear" if period else "constant", initial, final, period, count)
