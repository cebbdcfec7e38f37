"""The multilayer perceptron, orthogonally initialised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import at_least, unknown
from evil.networks.embedding import Embedding
from evil.networks.initialisers import orthogonal
from evil.seams import Key, PyTree

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": nn.relu,
    "elu": nn.elu,
    "silu": nn.silu,
    "gelu": nn.gelu,
}


PRECISIONS = {"float32": None, "bfloat16": jnp.bfloat16}  # of products; None: that of the inputs


def activation(name: str) -> Callable[[Array], Array]:
    """The activation function called `name`."""
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def check(hidden: tuple[int, ...], name: str, precision: str = "float32") -> None:
    """Refuse what a network cannot be, before it is first applied."""
    activation(name)
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    at_least(1, hidden=min(hidden, default=1))


class MLP(nn.Module):
    """Hidden layers of `hidden` units and a linear output of `outputs`, on the last axis.

    With `sizes`, the first of these layers looks whole numbers up: see `evil.networks.embedding`.
    With precision bfloat16, layers multiply and add in that type; weights, their gradients and the
    output stay float32.
    """

    hidden: tuple[int, ...]
    outputs: int
    activation: str = "tanh"
    output_gain: float = 1.0  # gain of the last layer's orthogonal initialisation
    sizes: tuple[int, ...] = ()
    input_dropout: float = 0.0  # share of inputs that are dropped, where a key is given
    dropout: float = 0.0  # and of hidden units
    precision: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        nonlinearity = activation(self.activation)
        x = self._thinned(x, self.input_dropout)
        for index, width in enumerate(self.hidden):
            layer = self._layer(width, 2.0**0.5, f"hidden_{index}", is_first=index == 0)
            x = self._thinned(nonlinearity(layer(x)), self.dropout)
        last = self._layer(self.outputs, self.output_gain, "output", is_first=not self.hidden)
        return last(x) if self.precision == "float32" else last(x).astype(jnp.float32)

    def _layer(self, width: int, gain: float, name: str, *, is_first: bool) -> nn.Module:
        if self.sizes and is_first:
            return Embedding(self.sizes, width, gain, name=name)
        dtype = PRECISIONS[self.precision]
        return nn.Dense(width, dtype=dtype, kernel_init=orthogonal(gain), name=name)

    @nn.nowrap
    def _thinned(self, x: Array, share: float) -> Array:
        if not share or not self.has_rng("dropout"):
            return x
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1.0 - share, x.shape)
        return jnp.where(kept, x / (1.0 - share), 0.0)


def apply(
    module: nn.Module,
    params: PyTree,
    *arguments: Any,
    method: str | None = None,
    dropout: Key | None = None,
) -> Any:
    """What a module computes; Flax's own `apply` may return more, and is typed accordingly.

    Units are dropped only if there is a key for it.
    """
    rngs = None if dropout is None else {"dropout": dropout}
    return module.apply(params, *arguments, method=method, rngs=rngs)


def flatten(x: Array, shape: tuple[int, ...]) -> Array:
    """Merge the trailing axes `shape` of `x` into one; `shape` may be `()`."""
    return x.reshape((*x.shape[: x.ndim - len(shape)], -1))
