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

AXIS = "members"


def shared_vmap(function: Callable[..., Any], in_axes: Sequence[int | None]) -> Callable[..., Any]:
    """`jax.vmap(function, in_axes)` for axes 0 or None, divided among the devices of a group.

    The size of the mapped axis must be a multiple of the group's.
    """
    mapped = jax.vmap(function, tuple(in_axes))

    def apply(*arguments: Any) -> Any:
        count = group_size()
        if count == 1:
            return mapped(*arguments)
        own = [
            argument if axis is None else jax.tree.map(_own_part, argument)
            for argument, axis in zip(arguments, in_axes, strict=True)
        ]
        return jax.tree.map(_everybody, mapped(*own))

    return apply


def group_size() -> int:
    """How many devices share the work that is being traced."""
    try:
        return jax.lax.axis_size(AXIS)
    except NameError:  # no such axis: whoever traces has not spread anything
        return 1


def _own_part(x: jax.Array) -> jax.Array:
    size = x.shape[0] // group_size()
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(AXIS) * size, size)


def _everybody(x: jax.Array) -> jax.Array:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = jax.lax.all_gather(jax.random.key_data(x), AXIS, tiled=True)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    return jax.lax.all_gather(x, AXIS, tiled=True)
