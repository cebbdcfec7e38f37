"""The level of a reward that has none of its own.

It decides whether living on pays. Measured on what the agent does: its mean, or the fifth
percentile, below which a policy is paid for surviving almost whatever it does.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jax import Array

Kind = Literal["none", "agent", "least"]
KINDS = ("none", "agent", "least")


def track(kind: str, level: Array, values: Array, count: Array) -> Array:
    """The level `[]` after the agent's rewards `[N]` in update number `count`, from 0.

    Rewards change from update to update, so it follows with a memory of about fifty of them.
    """
    if kind == "none":
        return level
    found = values.mean() if kind == "agent" else jnp.quantile(values, 0.05)
    return level + (found - level) * jnp.maximum(0.02, 1.0 / (count + 1))
