"""Parameters on disk: one safetensors file that any program can read, and its description.

    <path>.safetensors   arrays named by their place in the tree, `params/Dense_0/kernel`
    <path>.json          names, shapes, dtypes and `meta`, for people

The safetensors file carries `meta` itself, so it is complete without the JSON beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from evil import atomic
from evil.errors import UserError
from evil.running import files

MAX_BYTES = 2 * 1024**3
SUFFIX = ".safetensors"


def save(path: str | Path, tree: Any, meta: Mapping[str, Any]) -> Path:
    """Write the arrays of `tree` and the JSON object `meta`; returns the `.safetensors` path.

    `path` goes without suffix (one is ignored). A tree is anything of arrays: dicts, dataclasses,
    lists, tuples.
    """
    path = _file(path)
    named = {name: np.array(leaf, order="C") for name, leaf in _named(tree).items()}
    described = {name: [str(leaf.dtype), *leaf.shape] for name, leaf in named.items()}
    meta = files.plain(meta)
    atomic.write(path, safetensors.numpy.save(named, metadata={"meta": json.dumps(meta)}))
    files.write_json(path.with_suffix(".json"), {"meta": meta, "arrays": described})
    return path


def load(path: str | Path, like: Any = None) -> tuple[Any, dict[str, Any]]:
    """Read `(tree, meta)`, where `tree` has the structure of `like`.

    `like` is a tree of arrays or of `jax.ShapeDtypeStruct` (from `jax.eval_shape`): every name,
    shape and dtype must agree with it, and every number must be finite. Without it the result is
    a nested dict with whatever the file has.
    """
    path = _file(path)
    with _open(path) as stream:
        meta = _meta(path, stream)
        expected = None if like is None else _named(like)
        if expected is not None:
            _check_names(path, set(stream.keys()), set(expected))
        names = stream.keys() if expected is None else expected
        named = {name: _array(path, stream, name, expected) for name in names}
    if like is None:
        return _nest(path, named), meta
    return jax.tree.unflatten(jax.tree.structure(like), named.values()), meta


def describe(path: str | Path) -> dict[str, Any]:
    """The `meta` of a file, without its arrays: what a caller needs to build `like`."""
    path = _file(path)
    with _open(path) as stream:
        return _meta(path, stream)


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def _named(tree: Any) -> dict[str, Any]:
    """Leaves by `/`-joined name, in the order of the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(key, simple=True, separator="/"): leaf for key, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the tree have the same name when joined with '/'")
    return named


def _open(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise UserError(f"{path}: expected at most {MAX_BYTES} bytes, found {size}.")
    try:
        return safetensors.safe_open(path, framework="numpy")
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a safetensors file, or a truncated one ({error}).") from None


def _meta(path: Path, stream: Any) -> dict[str, Any]:
    try:
        return dict(json.loads(stream.metadata()["meta"]))
    except (TypeError, KeyError, ValueError, RecursionError):
        raise UserError(f"{path}: its metadata lack the JSON object that `save` writes.") from None


def _check_names(path: Path, found: set[str], expected: set[str]) -> None:
    for names, problem in ((expected - found, "lacks"), (found - expected, "unexpectedly has")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"{path}: {problem} the array {min(names)!r}{more}.")


def _array(path: Path, stream: Any, name: str, expected: dict[str, Any] | None) -> jax.Array:
    shape = tuple(stream.get_slice(name).get_shape())
    if expected is not None and shape != tuple(expected[name].shape):
        wanted = tuple(expected[name].shape)
        raise UserError(f"{path}: {name!r} has shape {shape}, expected {wanted}.")
    try:
        array = stream.get_tensor(name)
    except (safetensors.SafetensorError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{path}: {name!r} cannot be read ({error}).") from None
    if expected is not None and array.dtype != expected[name].dtype:
        wanted = expected[name].dtype
        raise UserError(f"{path}: {name!r} has dtype {array.dtype}, expected {wanted}.")
    if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise UserError(f"{path}: {name!r} is {array[where]} at {where}, expected finite values.")
    return jnp.asarray(array)


def _nest(path: Path, named: Mapping[str, jax.Array]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, leaf in named.items():
        *parents, last = name.split("/")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise UserError(f"{path}: {name!r} lies inside another array.")
        if last in branch:
            raise UserError(f"{path}: {name!r} is both an array and a group of arrays.")
        branch[last] = leaf
    return tree
