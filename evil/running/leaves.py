"""The arrays of a state on disk: a flat list, written and read by Orbax.

Flat, so that a file depends on nothing but the arrays: not on how Orbax names the nodes of a tree.
Keys are stored as their data, and arrays without elements, which Orbax refuses, not at all.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FIELDS = ("path", "dtype", "shape", "key")  # of a description


def describe(path: Any, leaf: Any) -> dict[str, Any]:
    """What must be known of a leaf to read it back; of an abstract key, all but its kind."""
    is_concrete_key = is_key(leaf) and isinstance(leaf, jax.Array)
    return {
        "path": jax.tree_util.keystr(path),
        "dtype": str(leaf.dtype),
        "shape": list(leaf.shape),
        "key": str(jax.random.key_impl(leaf)) if is_concrete_key else "",
    }


def shown(entry: dict[str, Any]) -> str:
    """A leaf's description in words."""
    return f"state{entry['path']} of type {entry['dtype']}{entry['shape']}"


def write(folder: Path, leaves: Sequence[Any]) -> None:
    """Write the leaves into a new folder, whose path must be absolute; from this process alone."""
    from orbax import checkpoint

    if jax.process_count() > 1:  # Orbax takes an array of JAX's for a part of a larger one
        leaves = [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in leaves]
    tree = {
        str(index): jax.random.key_data(leaf) if is_key(leaf) else leaf
        for index, leaf in enumerate(leaves)
        if leaf.size
    }
    with _hushed(), _checkpointer() as writer:
        writer.save(folder, args=checkpoint.args.StandardSave(tree))


def read(folder: Path, entries: Sequence[dict[str, Any]]) -> list[jax.Array]:
    """Read the leaves that `entries` describe; in this process alone."""
    from orbax import checkpoint

    targets = [_target(entry) for entry in entries]
    stored = {str(index): x for index, x in enumerate(targets) if math.prod(x.shape)}
    with _hushed(), _checkpointer() as reader:
        tree = reader.restore(folder, args=checkpoint.args.StandardRestore(stored))
    leaves = []
    for index, (entry, target) in enumerate(zip(entries, targets, strict=True)):
        leaf = tree.get(str(index))
        leaf = jnp.asarray(np.zeros(target.shape, target.dtype)) if leaf is None else leaf
        implementation = entry["key"]
        leaves.append(
            jax.random.wrap_key_data(leaf, impl=implementation) if implementation else leaf
        )
    return leaves


def _checkpointer() -> Any:
    """Orbax's; of several processes, the one that calls does not wait for the others."""
    from orbax import checkpoint

    own: dict[str, Any] = {}
    if jax.process_count() > 1:
        index = jax.process_index()
        own["multiprocessing_options"] = checkpoint.options.MultiprocessingOptions(
            primary_host=index, active_processes={index}, barrier_sync_key_prefix=f"alone-{index}"
        )
    return checkpoint.Checkpointer(checkpoint.StandardCheckpointHandler(**own), **own)


def is_key(leaf: Any) -> bool:
    """Whether a leaf, or what stands for one, is a typed key."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _target(entry: dict[str, Any]) -> jax.ShapeDtypeStruct:
    """The shape and type in which a leaf is stored, and the device it is read to."""
    shape, dtype = tuple(entry["shape"]), entry["dtype"]
    if entry["key"]:
        key = jax.random.key_data(jax.random.key(0, impl=entry["key"]))
        shape, dtype = (*shape, *key.shape), key.dtype
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=place)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Orbax reports its every step through absl's logger; the runner has its own voice."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
