"""Pytree dataclasses, and the few tree operations that every part of the library shares."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp

T = TypeVar("T")
Name = tuple[type, str]  # of a hyper-parameter: its class and field
_INSTEAD: ContextVar[tuple[Mapping[Name, Any], set[Name]]] = ContextVar("INSTEAD")


def static(**kwargs: Any) -> Any:
    """A field that belongs to a pytree's structure, not to its data: changing it recompiles."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static,))
def pytree(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass that is also a JAX pytree."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, kw_only=True)(cls))


def traced(cls: type[T], config: Any) -> T:
    """The hyper-parameters `cls`, a pytree dataclass, filled with `config`'s fields as float32.

    Values taken from here enter a program as data, so that an outer loop may vary them: see
    `instead`.
    """
    values, read = _INSTEAD.get(({}, set()))
    names = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]
    read |= {(cls, name) for name in names}
    return cls(
        **{
            name: jnp.asarray(values.get((cls, name), getattr(config, name)), jnp.float32)
            for name in names
        }
    )


@contextlib.contextmanager
def instead(values: Mapping[Name, Any]) -> Iterator[set[Name]]:
    """Within, `traced` takes these values, by class and field, instead of those of any config.

    Yields the names of all hyper-parameters that it is asked for.
    """
    token = _INSTEAD.set((values, read := set()))
    try:
        yield read
    finally:
        _INSTEAD.reset(token)


def strongly_typed(tree: T) -> T:
    """Python numbers and weakly typed scalars as arrays: a scan's carry may change in neither."""
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.result_type(x)), tree)


def select(mask: jax.Array, on_true: T, on_false: T) -> T:
    """Choose between two trees element by element along their leading axes.

    `mask` has shape `[B]` (or any prefix of every leaf's shape); it is broadcast over the rest.
    Typed PRNG keys are selected like any other array; what both have in common is not copied.
    """

    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        if a is b:
            return a
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b)

    return jax.tree.map(choose, on_true, on_false)


def align(x: jax.Array, ndim: int) -> jax.Array:
    """`x` with axes of length one in front, up to `ndim`: `[F]` beside `[T, B, F]`."""
    return x.reshape((1,) * (ndim - x.ndim) + x.shape)


def merge_leading(tree: T, count: int = 2) -> T:
    """Merge the first `count` axes of every leaf, e.g. `[T, B, ...]` into `[T·B, ...]`."""
    return jax.tree.map(lambda x: x.reshape((-1, *x.shape[count:])), tree)


def take(tree: T, indices: jax.Array) -> T:
    """Rows `indices` of every leaf; the result's leading axes are those of `indices`."""
    return jax.tree.map(lambda x: x[indices], tree)


def is_finite(tree: Any) -> jax.Array:
    """Whether every floating-point leaf of `tree` is finite: one boolean."""
    flags = [
        jnp.all(jnp.isfinite(x))
        for x in jax.tree.leaves(tree)
        if jnp.issubdtype(jnp.asarray(x).dtype if not hasattr(x, "dtype") else x.dtype, jnp.inexact)
    ]
    return jnp.all(jnp.stack(flags)) if flags else jnp.asarray(True)
