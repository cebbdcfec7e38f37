"""Evolution strategies over trees of weights, by name.

    x_i = m + σ z_i,    m ← m + α Σ_i rank_i z_i / Pσ          (openes, centred ranks)

Populations are antithetic where the strategy draws them so: member i pairs with i + P/2. Fitness is
maximised here; Evosax, whose strategies these are, minimises.

Reference: salimans2017evolution, wierstra2014natural, sehnke2010parameter, hansen2016cma
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil.errors import UserError, at_least, unknown
from evil.pytrees import strongly_typed
from evil.seams import Key, PyTree

NAMES = ("openes", "pgpe", "snes", "sep_cma_es", "cma_es", "persistent_es", "noise_reuse_es")
ANTITHETIC = ("openes", "pgpe", "persistent_es", "noise_reuse_es")
UNROLLED = ("persistent_es", "noise_reuse_es")  # know that inner runs go on between generations


@dataclasses.dataclass(frozen=True)
class Config:
    """An evolution strategy."""

    name: Literal[
        "openes", "pgpe", "snes", "sep_cma_es", "cma_es", "persistent_es", "noise_reuse_es"
    ] = "openes"
    """Which one."""
    population: int = 64
    """Members per generation."""
    std: float = 0.03
    """σ: standard deviation of the perturbations, at the start where it adapts."""
    learning_rate: float = 2e-3
    """Adam's step size for the mean, of the strategies that follow a gradient."""
    momentum: float = 0.99
    """Adam's decay of the first moment."""


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A strategy bound to a tree of weights."""

    init: Callable[[Key, PyTree], PyTree]  # (key, mean) -> state
    ask: Callable[[Key, PyTree], tuple[PyTree, PyTree]]  # (key, state) -> members [P, ...], state
    tell: Callable[[Key, PyTree, PyTree, Array], PyTree]
    # (key, state, members, fitness [P], higher is better) -> state
    mean: Callable[[PyTree], PyTree]  # state -> tree of weights
    population: int
    antithetic: bool


def make(config: Config, template: PyTree, *, horizon: int = 1) -> Strategy:
    """Bind a strategy to weights like `template`, a tree of arrays or shapes.

    `horizon` is the number of generations that one inner run lasts.
    """
    if config.name not in NAMES:
        raise unknown("evolution strategy", config.name, NAMES)
    at_least(2, population=config.population)
    antithetic = config.name in ANTITHETIC
    if antithetic and config.population % 2:
        raise UserError(
            f"{config.name} draws its members in pairs: expected an even population, "
            f"found {config.population}."
        )
    template = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), template)
    strategy, params = _build(config, template, horizon)

    def tell(key: Key, state: PyTree, members: PyTree, fitness: Array) -> PyTree:
        return strongly_typed(strategy.tell(key, members, -fitness, state, params)[0])

    return Strategy(
        init=lambda key, mean: strongly_typed(strategy.init(key, mean, params)),
        ask=lambda key, state: strategy.ask(key, state, params),
        tell=tell,
        mean=strategy.get_mean,
        population=config.population,
        antithetic=antithetic,
    )


def _build(config: Config, template: PyTree, horizon: int) -> tuple[Any, Any]:
    """Evosax's object and its parameters."""
    from evosax import algorithms

    optimizer = optax.adam(config.learning_rate, b1=config.momentum)
    shape = (config.population, template)
    if config.name in ("openes", *UNROLLED):
        kinds = {
            "openes": algorithms.Open_ES,
            "persistent_es": algorithms.PersistentES,
            "noise_reuse_es": algorithms.NoiseReuseES,
        }
        strategy = kinds[config.name](
            *shape,
            optimizer=optimizer,
            std_schedule=optax.constant_schedule(config.std),
        )
        params = strategy.default_params
        return strategy, params.replace(T=horizon, K=1) if config.name in UNROLLED else params
    if config.name == "pgpe":
        strategy: Any = algorithms.PGPE(*shape, optimizer=optimizer)
    elif config.name == "snes":
        strategy = algorithms.SNES(*shape, optimizer=optax.sgd(1.0))
    elif config.name == "sep_cma_es":
        strategy = algorithms.Sep_CMA_ES(*shape)
    else:
        strategy = algorithms.CMA_ES(*shape)
    return strategy, strategy.default_params.replace(std_init=config.std)
