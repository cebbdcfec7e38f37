"""The level of a reward that has none of its own.

It decides whether living on pays. Measured on what the agent does: its mean, or a low quantile. At
five per cent a policy is paid for surviving almost whatever it does, which is why runs report the
survival baseline; higher up it has to do better, and ends its episodes where it cannot. So a low
quantile of what the expert does bounds it from above: an expert that stands up first, slowly, has
been where beginners are, and if that costs anything nobody begins.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jax import Array

from evil.errors import unknown

Kind = Literal["none", "agent", "least"]
KINDS = ("none", "agent", "least")


def check(kind: str) -> None:
    """UserError for a level that there is not."""
    if kind not in KINDS:
        raise unknown("reward baseline", kind, KINDS)


def track(
    kind: str,
    level: Array,
    values: Array,
    count: Array,
    quantile: Array | float = 0.05,
    bound: Array | float = jnp.inf,
) -> Array:
    """The level `[]` after the agent's rewards `[N]` in update number `count`, from 0.

    Rewards change from update to update, so it follows with a memory of about fifty of them. What
    is `least` is drawn no higher than `bound`.
    """
    if kind == "none":
        return level
    found = values.mean() if kind == "agent" else jnp.minimum(jnp.quantile(values, quantile), bound)
    return level + (found - level) * jnp.maximum(0.02, 1.0 / (count + 1))
