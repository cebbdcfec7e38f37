"""All labelled observations of a run, kept whole.

Storage is allocated once for as many rows as the run can bring. A write costs as much as what is
written, however much is there already, and nothing is ever overwritten.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from evil.pytrees import pytree, take
from evil.seams import Key, PyTree


@pytree
class Aggregate:
    """`count` rows in the order in which they came; what lies behind them is zero."""

    rows: PyTree  # [capacity, ...]
    count: Array  # [] int32


def init(row: PyTree, capacity: int) -> Aggregate:
    """An empty aggregate for rows like `row`, a tree of arrays or shapes without leading axis."""
    rows = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), row)
    return Aggregate(rows=rows, count=jnp.zeros((), jnp.int32))


def append(aggregate: Aggregate, rows: PyTree, mask: Array) -> Aggregate:
    """Add those of `rows [n, ...]` for which `mask [n]` holds; what finds no room is dropped."""
    capacity = jax.tree.leaves(aggregate.rows)[0].shape[0]
    place = aggregate.count + jnp.cumsum(mask, dtype=jnp.int32) - 1
    place = jnp.where(mask, place, capacity)
    stored = jax.tree.map(
        lambda old, new: old.at[place].set(new, mode="drop"), aggregate.rows, rows
    )
    total = aggregate.count + mask.sum(dtype=jnp.int32)
    return Aggregate(rows=stored, count=jnp.minimum(total, capacity))


def sample(key: Key, aggregate: Aggregate, num: int) -> PyTree:
    """`num` rows, uniformly and with replacement; at least one must be there."""
    return take(aggregate.rows, jax.random.randint(key, (num,), 0, aggregate.count))
