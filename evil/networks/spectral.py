"""Spectral normalisation: weights whose layers stretch no input by more than a factor of one.

    W / σ(W),   σ(W) = vᵀ W u

with u and v followed by power iteration, one step per update of the weights.

Reference: miyato2018spectral
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from evil.seams import PyTree


def init(network: PyTree) -> PyTree:
    """A vector u `[outputs]` for every kernel of a network."""
    return _over_kernels(
        lambda kernel: jnp.full(kernel.shape[-1], kernel.shape[-1] ** -0.5, kernel.dtype), network
    )


def follow(network: PyTree, vectors: PyTree) -> PyTree:
    """One power iteration: the vectors closer to the kernels' leading singular ones."""

    def iterate(kernel: Array, u: Array) -> Array:
        return _unit(kernel.T @ _unit(kernel @ u))

    return _over_kernels(iterate, network, vectors)


def normalise(network: PyTree, vectors: PyTree) -> PyTree:
    """The network with every kernel divided by its largest singular value.

    Gradients flow through the singular value, not through the vectors.
    """

    def scale(path: tuple, leaf: Array) -> Array:
        if not _is_kernel(path):
            return leaf
        u = jax.lax.stop_gradient(vectors[jax.tree_util.keystr(path)])
        stretched = leaf @ u
        v = jax.lax.stop_gradient(_unit(stretched))
        return leaf / (v @ stretched + 1e-12)

    return jax.tree_util.tree_map_with_path(scale, network)


def _over_kernels(
    function: Callable[..., Array], network: PyTree, *others: PyTree
) -> dict[str, Array]:
    leaves = jax.tree_util.tree_leaves_with_path(network)
    kernels = {jax.tree_util.keystr(path): leaf for path, leaf in leaves if _is_kernel(path)}
    return {
        name: function(kernel, *[other[name] for other in others])
        for name, kernel in kernels.items()
    }


def _is_kernel(path: tuple) -> bool:
    return getattr(path[-1], "key", None) == "kernel"


def _unit(x: Array) -> Array:
    return x / (jnp.linalg.norm(x) + 1e-12)
