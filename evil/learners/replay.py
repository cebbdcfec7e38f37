"""The agent's past: a ring of rows from every policy so far.

An off-policy learner learns from it. A reward fitted to the mixture of all past policies follows
the regularised leader; one fitted to the current policy alone is a best response to it.

A write touches the rows that it writes and no others, as long as the ring is carried by a scan: a
conditional, or a choice between two rings, would copy all of it.
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
    next_row: Array  # [] int32, where the next write begins
    count: Array  # [] int32, how many rows hold something


def init(row: PyTree, capacity: int) -> Ring:
    """An empty ring for rows like `row`, a tree of arrays or shapes without leading axis."""
    rows = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), row)
    return Ring(rows=rows, next_row=jnp.zeros((), jnp.int32), count=jnp.zeros((), jnp.int32))


def write(ring: Ring, rows: PyTree) -> Ring:
    """Append rows `[n, ...]`; n must divide the capacity, so that no write wraps around."""
    capacity, size = jax.tree.leaves(ring.rows)[0].shape[0], jax.tree.leaves(rows)[0].shape[0]
    if capacity % size:
        raise ValueError(f"writes of {size} rows do not divide a capacity of {capacity}")
    stored = jax.tree.map(
        lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, ring.next_row, axis=0),
        ring.rows,
        rows,
    )
    return Ring(
        rows=stored,
        next_row=(ring.next_row + size) % capacity,
        count=jnp.minimum(ring.count + size, capacity),
    )


def append(ring: Ring, rows: PyTree, kept: Array) -> Ring:
    """Append those of the rows `[n, ...]` that are `kept [n]`, any number of them.

    The next row is then data, which under `vmap` differs between lanes: slower than `write`.
    """
    capacity = jax.tree.leaves(ring.rows)[0].shape[0]
    place = (ring.next_row + jnp.cumsum(kept) - 1) % capacity
    place = jnp.where(kept, place, capacity)  # beyond the end, where it is dropped
    number = kept.sum(dtype=jnp.int32)
    return Ring(
        rows=jax.tree.map(lambda old, new: old.at[place].set(new, mode="drop"), ring.rows, rows),
        next_row=(ring.next_row + number) % capacity,
        count=jnp.minimum(ring.count + number, capacity),
    )


def overwritten(ring: Ring, column: Array, size: int) -> Array:
    """What a `write` of so many rows will overwrite of a column `[capacity, ...]` of the ring."""
    return jax.lax.dynamic_slice_in_dim(column, ring.next_row, size, axis=0)


def sample(
    key: Key, ring: Ring, num: int, *, recency: float = 0.0, stratified: bool = False
) -> PyTree:
    """`num` rows, with replacement, from those written; at least one must be.

    A row's age, as a share of the oldest row's, is distributed as U^(1 + recency) with U uniform:
    0 draws all rows alike, 1 the newest hundredth ten times as often. If `stratified`, one U lies
    in each `num`-th of the unit interval, so that every age has its share in every batch; the rows
    come in random order all the same.
    """
    capacity = jax.tree.leaves(ring.rows)[0].shape[0]
    key_share, key_order = jax.random.split(key)
    share = jax.random.uniform(key_share, (num,))
    if stratified:
        share = (jax.random.permutation(key_order, num) + share) / num
    age = (share ** (1.0 + recency) * ring.count).astype(jnp.int32)
    return take(ring.rows, (ring.next_row - 1 - jnp.minimum(age, ring.count - 1)) % capacity)
