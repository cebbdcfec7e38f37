"""The agent's past: a ring of rows from every policy so far.

A reward fitted to the mixture of all past policies follows the regularised leader; one fitted to
the current policy alone is a best response to it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from evil.pytrees import pytree, take
from evil.seams import Key, PyTree


@pytree
class Ring:
    """Storage for `capacity` rows; once full, the oldest are overwritten."""

    rows: PyTree  # [capacity, ...]
    written: Array  # [] int32, rows written since the start


def init(row: PyTree, capacity: int) -> Ring:
    """An empty ring for rows like `row`, a tree of arrays or shapes without leading axis."""
    rows = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), row)
    return Ring(rows=rows, written=jnp.zeros((), jnp.int32))


def write(ring: Ring, rows: PyTree) -> Ring:
    """Append rows `[n, ...]`; n must divide the capacity, so that no write wraps around."""
    capacity, size = jax.tree.leaves(ring.rows)[0].shape[0], jax.tree.leaves(rows)[0].shape[0]
    if capacity % size:
        raise ValueError(f"writes of {size} rows do not divide a capacity of {capacity}")
    start = ring.written % capacity
    stored = jax.tree.map(
        lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, start, axis=0),
        ring.rows,
        rows,
    )
    return Ring(rows=stored, written=ring.written + size)


def sample(key: Key, ring: Ring, num: int) -> PyTree:
    """`num` rows, uniformly and with replacement from those written; at least one must be."""
    capacity = jax.tree.leaves(ring.rows)[0].shape[0]
    index = jax.random.randint(key, (num,), 0, jnp.minimum(ring.written, capacity))
    return take(ring.rows, index)
