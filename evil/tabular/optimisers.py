"""Steps downhill on a convex loss of a reward.

    sgd            θ ← θ - η g
    adam           steps of the size of η, whatever that of g
    exponentiated  θ ← θ exp(-η g), for parameters that are positive and stay so
    lbfgs          quasi-Newton directions and a line search, which asks for the loss again

Reference: kivinen1997exponentiated, liu1989lbfgs
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil.errors import unknown
from evil.pytrees import strongly_typed
from evil.seams import PyTree

NAMES = ("sgd", "adam", "exponentiated", "lbfgs")


@dataclasses.dataclass(frozen=True)
class Config:
    """How a reward is fitted."""

    name: Literal["sgd", "adam", "exponentiated", "lbfgs"] = "adam"
    """The method; exponentiated gradients need a reward that begins positive."""
    momentum: float = 0.0
    """Share of the last step that SGD repeats."""
    memory: int = 10
    """Pairs of steps and gradients that L-BFGS remembers."""
    line_search: int = 15
    """Losses that one step of L-BFGS may ask for."""


def exponentiated() -> optax.GradientTransformation:
    """Multiplicative updates, for a step size already in the gradients."""

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, PyTree]:
        return jax.tree.map(lambda u, p: p * jnp.expm1(u), updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def make(config: Config, learning_rate: Array | float) -> optax.GradientTransformationExtraArgs:
    """The transformation of gradients into steps; L-BFGS finds its own size."""
    if config.name == "lbfgs":
        search = optax.scale_by_zoom_linesearch(max_linesearch_steps=config.line_search)
        return optax.lbfgs(memory_size=config.memory, linesearch=search)
    down = optax.scale(-learning_rate)  # pyright: ignore[reportArgumentType]
    if config.name == "sgd":
        momentum = [optax.trace(config.momentum)] if config.momentum else []
        chained = optax.chain(*momentum, down)
    elif config.name == "adam":
        chained = optax.chain(optax.scale_by_adam(), down)
    elif config.name == "exponentiated":
        chained = optax.chain(down, exponentiated())
    else:
        raise unknown("optimiser", config.name, NAMES)
    return optax.with_extra_args_support(chained)


def init(config: Config, params: PyTree) -> PyTree:
    """The optimiser's first state, in which no number is infinite."""
    state = strongly_typed(make(config, 0.0).init(params))
    return jax.tree.map(_bounded, state) if config.name == "lbfgs" else state


def descend(
    config: Config,
    learning_rate: Array,
    loss: Callable[[PyTree], Array],
    params: PyTree,
    state: PyTree,
) -> tuple[PyTree, PyTree, Array, PyTree]:
    """One step: parameters, the optimiser's state, and loss and gradient where it began."""
    transform = make(config, learning_rate)
    value, gradient = jax.value_and_grad(loss)(params)
    more = {"value": value, "grad": gradient, "value_fn": loss} if config.name == "lbfgs" else {}
    updates, after = transform.update(gradient, state, params, **more)
    after = jax.tree.map(lambda x, like: jnp.asarray(x, like.dtype), after, state)
    if config.name == "lbfgs":
        after = jax.tree.map(_bounded, after)
    return optax.apply_updates(params, updates), after, value, gradient


def _bounded(x: Array) -> Array:
    """A line search begins with an infinite loss, which the runner would take for a failure."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return jnp.nan_to_num(x, posinf=jnp.finfo(x.dtype).max, neginf=jnp.finfo(x.dtype).min)
