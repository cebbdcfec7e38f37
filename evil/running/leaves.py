"""The arrays of a state on disk: a flat list in one safetensors file.

Flat, so that a file depends on nothing but the arrays and where they were in the state. Keys are
stored as their data. Bits are kept as they are, those of numbers that are not finite included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

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


def shown(entry: Mapping[str, Any]) -> str:
    """A leaf's description in words."""
    return f"{_name(entry)} of type {entry['dtype']}{entry['shape']}"


def write(file: Path, entries: Sequence[Mapping[str, Any]], leaves: Sequence[Any]) -> None:
    """Write the leaves that `entries` describe; OSError where that cannot be done."""
    named = {
        # An array of JAX's may lie in memory in any order, of which the format knows one.
        _name(entry): np.ascontiguousarray(jax.random.key_data(x) if is_key(x) else x)
        for entry, x in zip(entries, leaves, strict=True)
    }
    try:
        safetensors.numpy.save_file(named, file)
    except safetensors.SafetensorError as error:  # its words for a full disk
        raise OSError(str(error)) from error


def read(file: Path, entries: Sequence[Mapping[str, Any]]) -> list[jax.Array]:
    """Read the leaves that `entries` describe; ValueError where they are not what is there."""
    try:
        with safetensors.safe_open(file, framework="numpy") as stream:
            stored = [stream.get_tensor(_name(entry)) for entry in entries]
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error
    # All at once: an array alone takes JAX milliseconds, and there are hundreds of them.
    placed = jax.device_put(stored)
    return [_leaf(entry, array) for entry, array in zip(entries, placed, strict=True)]


def _leaf(entry: Mapping[str, Any], leaf: jax.Array) -> jax.Array:
    leaf = jax.random.wrap_key_data(leaf, impl=entry["key"]) if entry["key"] else leaf
    if (str(leaf.dtype), list(leaf.shape)) != (entry["dtype"], entry["shape"]):
        raise ValueError(f"expected {shown(entry)}, found {leaf.dtype}{list(leaf.shape)}")
    return leaf


def _name(entry: Mapping[str, Any]) -> str:
    return f"state{entry['path']}"


def is_key(leaf: Any) -> bool:
    """Whether a leaf, or what stands for one, is a typed key."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
