"""A `vmap` whose leading axis several devices may share.

Outside the runner it is a plain `vmap`. The runner may give one lane a group of devices that all
hold the same state and compute the same; only what is mapped here is divided among them, and what
comes back is the same on all again. A step has two axes that can be: members of a population, and
the worlds that a member lives in.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from evil import pytrees

Axis = Literal["members", "worlds"]


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a step that devices may share, by axis."""

    members: int = 1
    worlds: int = 1  # of each member


def shared_vmap(
    function: Callable[..., Any], in_axes: Sequence[int | None], axis: Axis
) -> Callable[..., Any]:
    """`jax.vmap(function, in_axes)` for axes 0 or None, divided among the devices of a group.

    Where they do not divide the axis, some do its last row again.
    """
    mapped = jax.vmap(function, tuple(in_axes))

    def apply(*arguments: Any) -> Any:
        count = group_size(axis)
        if count == 1:
            return mapped(*arguments)
        pairs = list(zip(arguments, in_axes, strict=True))
        size = next(
            x.shape[0] for tree, at in pairs if at is not None for x in jax.tree.leaves(tree)
        )
        each = -(-size // count)
        rows = jnp.minimum(jax.lax.axis_index(axis) * each + jnp.arange(each), size - 1)
        own = [tree if at is None else pytrees.take(tree, rows) for tree, at in pairs]
        return jax.tree.map(lambda x: x[:size], _from_all(mapped(*own), axis))

    return apply


def group_size(axis: Axis) -> int:
    """How many devices share the work that is being traced."""
    try:
        return jax.lax.axis_size(axis)
    except NameError:  # no such axis: whoever traces has not spread anything
        return 1


def _from_all(rows: Any, axis: Axis) -> Any:
    """The rows of all devices, one after another; all leaves of a type travel in one message."""
    found, form = jax.tree.flatten(rows)
    plain = [jax.random.key_data(x) if _is_key(x) else x for x in found]
    alike = defaultdict(list)
    for index, x in enumerate(plain):
        alike[x.dtype].append(index)
    for indices in alike.values():
        flat = [plain[index].reshape(plain[index].shape[0], -1) for index in indices]
        ends = list(itertools.accumulate(x.shape[1] for x in flat))[:-1]
        together = jax.lax.all_gather(jnp.concatenate(flat, axis=1), axis, tiled=True)
        for index, x in zip(indices, jnp.split(together, ends, axis=1), strict=True):
            plain[index] = x.reshape(-1, *plain[index].shape[1:])
    return form.unflatten(
        jax.random.wrap_key_data(x, impl=jax.random.key_impl(before)) if _is_key(before) else x
        for x, before in zip(plain, found, strict=True)
    )


def _is_key(x: jax.Array) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
