"""Initial weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax import Array

from evil.seams import Key


def orthogonal(gain: float = 1.0) -> Initializer:
    """Uniformly distributed matrices with orthonormal rows or columns, times `gain`.

    By Gram-Schmidt on Gaussian columns, each orthogonalised twice. JAX's own initialiser calls
    LAPACK's QR, whose batched form can wait for itself for ever on a CPU with few cores: two of
    them, as in a `vmap` over seeds, occupy the very threads that they wait for.
    """

    def initialise(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        rows, columns = shape
        tall = (max(rows, columns), min(rows, columns))
        matrix = orthonormal_columns(jax.random.normal(key, tall, dtype))
        return gain * (matrix if rows >= columns else matrix.T)

    return initialise


def orthonormal_columns(matrix: Array) -> Array:
    """Gram-Schmidt on the columns of `[m, n]`, m >= n, of full rank."""

    def add_column(index: Array, basis: Array) -> Array:
        column = jax.lax.dynamic_index_in_dim(matrix, index, axis=1, keepdims=False)
        for _ in range(2):  # once leaves errors of the order of the condition number
            column = column - basis @ (basis.T @ column)
        column = column / jnp.linalg.norm(column)
        return jax.lax.dynamic_update_index_in_dim(basis, column, index, axis=1)

    return jax.lax.fori_loop(0, matrix.shape[1], add_column, jnp.zeros_like(matrix))
