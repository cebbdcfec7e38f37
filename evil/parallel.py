"""A `vmap` whose leading axis several devices may share.

Outside the runner it is a plain `vmap`. The runner may give one lane a group of devices that all
hold the same state and compute the same; only what is mapped here is divided among them, and what
comes back is the same on all again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from evil import pytrees

AXIS = "members"


def shared_vmap(function: Callable[..., Any], in_axes: Sequence[int | None]) -> Callable[..., Any]:
    """`jax.vmap(function, in_axes)` for axes 0 or None, divided among the devices of a group.

    Where they do not divide the axis, some do its last row again.
    """
    mapped = jax.vmap(function, tuple(in_axes))

    def apply(*arguments: Any) -> Any:
        count = group_size()
        if count == 1:
            return mapped(*arguments)
        pairs = list(zip(arguments, in_axes, strict=True))
        size = next(
            x.shape[0] for tree, axis in pairs if axis is not None for x in jax.tree.leaves(tree)
        )
        each = -(-size // count)
        rows = jnp.minimum(jax.lax.axis_index(AXIS) * each + jnp.arange(each), size - 1)
        own = [tree if axis is None else pytrees.take(tree, rows) for tree, axis in pairs]
        return jax.tree.map(lambda x: _everybody(x)[:size], mapped(*own))

    return apply


def group_size() -> int:
    """How many devices share the work that is being traced."""
    try:
        return jax.lax.axis_size(AXIS)
    except NameError:  # no such axis: whoever traces has not spread anything
        return 1


def _everybody(x: jax.Array) -> jax.Array:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = jax.lax.all_gather(jax.random.key_data(x), AXIS, tiled=True)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    return jax.lax.all_gather(x, AXIS, tiled=True)
