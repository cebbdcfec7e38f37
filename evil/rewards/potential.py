"""Shaping by a potential Φ: a term added to a reward so that it teaches faster.

    canonical     F = γ Φ(s') - Φ(s)        changes no optimal policy
    evil_compat   F = Φ(s') - γ Φ(s)        as published: leaves (1 - γ²) Σ γᵗ Φ(s_{t+1}) behind
    additive      F = Φ                     a dense reward that is no potential at all

In the first two Φ(s') = 0 where the episode terminated, but not where the clock ran out; as
published, Φ of an episode's first state is 0 as well. Of states and actions the canonical term is
look-back advice, Φ(s_t, a_t) - Φ(s_{t-1}, a_{t-1}) / γ with Φ = 0 before the first step and at a
step that terminates, because what the agent will do next is not known yet.

Parameters are `{"network", "mean", "std", "discount"}`, all of them data: an evolution strategy
maps over networks, and lanes may have their own γ (their learner's).

Reference: ng1999shaping, wiewiora2003principled, sapora2024evil
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import UserError, unknown
from evil.networks import mlp
from evil.networks.mlp import MLP, apply
from evil.rewards import features
from evil.seams import Environment, Key, PyTree, Score, Transition

FORMS = ("canonical", "evil_compat", "additive")
INPUTS = ("s", "sa", "next_s")


@dataclasses.dataclass(frozen=True)
class Config:
    """A potential over standardised observations."""

    form: Literal["canonical", "evil_compat", "additive"] = "canonical"
    """What becomes of Φ."""
    inputs: Literal["s", "sa", "next_s"] = "s"
    """What Φ sees: states, states and actions, or (additive alone) successors."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers."""
    activation: str = "tanh"
    """Activation of the hidden layers."""


def canonical(before: Array, after: Array, terminated: Array, discount: Array | float) -> Array:
    """γ Φ(s') - Φ(s), with potentials and ends of the same shape `[...]`."""
    return discount * jnp.where(terminated, 0.0, after) - before


def published(
    before: Array, after: Array, terminated: Array, first: Array, discount: Array | float
) -> Array:
    """Φ(s') - γ Φ(s), where `first` says which states begin an episode: their Φ is 0."""
    return jnp.where(terminated, 0.0, after) - discount * jnp.where(first, 0.0, before)


def look_back(
    values: Array, previous: Array, done: Array, terminated: Array, discount: Array | float
) -> tuple[Array, Array]:
    """Φ_t - Φ_{t-1}/γ along `[T, B]`, after Φ of the step before the first: `previous [B]`.

    Also returns Φ of the last step, 0 where the episode is done.
    """
    values = jnp.where(terminated, 0.0, values)
    following = jnp.where(done, 0.0, values)
    before = jnp.concatenate([previous[None], following[:-1]])
    return values - before / discount, following[-1]


@dataclasses.dataclass(frozen=True)
class Potential:
    """A potential bound to an environment's observations and actions."""

    init: Callable[[Key], PyTree]  # key -> network, with Φ = 0 everywhere
    value: Callable[[PyTree, Transition], Array]  # (params, transitions [...]) -> Φ [...]
    score: Score  # the shaping term


def parameters(network: PyTree, mean: Array, std: Array, discount: Array | float) -> PyTree:
    """What `Potential.score` reads; Φ sees inputs in units of `mean` and `std [F]`."""
    return {
        "network": network,
        "mean": mean,
        "std": std,
        "discount": jnp.asarray(discount, jnp.float32),
    }


def make(config: Config, env: Environment) -> Potential:
    """Bind a potential to an environment."""
    mlp.check(config.hidden, config.activation)
    for kind, name, known in (
        ("shaping form", config.form, FORMS),
        ("potential inputs", config.inputs, INPUTS),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    if config.inputs == "next_s" and config.form != "additive":
        raise UserError(
            f"{config.form} shaping takes the successor's potential itself: expected inputs s or "
            "sa, found next_s, which is for the additive form."
        )
    if config.inputs == "sa" and config.form == "evil_compat":
        raise UserError("evil_compat shaping is published for states: expected inputs s, found sa.")
    module = MLP(config.hidden, 1, config.activation)
    spec = env.spec

    def phi(params: PyTree, inputs: Array) -> Array:
        inputs = features.standardise(params["mean"], params["std"], inputs)
        return apply(module, params["network"], inputs).squeeze(-1)

    def init(key: Key) -> PyTree:
        zeros = jnp.zeros(features.size(config.inputs, spec))
        network = module.init(key, zeros[None])
        # An output layer of zeros is Φ = 0 with hidden layers that can learn.
        output = jax.tree.map(jnp.zeros_like, network["params"]["output"])
        return {"params": {**network["params"], "output": output}}

    def value(params: PyTree, transitions: Transition) -> Array:
        return phi(params, features.select(config.inputs, spec, transitions))

    def term(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        """F `[T, B]`; the memory is what the last step leaves for the next."""
        terminated, discount = transitions.terminated, params["discount"]
        done = terminated | transitions.truncated
        before = value(params, transitions)
        if config.form == "additive":
            return before, memory
        if config.inputs == "sa":
            shaping, memory = look_back(before, memory, done, terminated, discount)
            return shaping, memory
        after = phi(params, features.select("next_s", spec, transitions))
        if config.form == "canonical":
            return canonical(before, after, terminated, discount), memory
        first = jnp.concatenate([memory[None], done[:-1]])
        shaping = published(before, after, terminated, first, discount)
        return shaping, done[-1]

    def memory(batch: int) -> PyTree:
        if config.form == "evil_compat":
            return jnp.ones(batch, bool)  # whether the next step is an episode's first
        if config.form == "canonical" and config.inputs == "sa":
            return jnp.zeros(batch)  # Φ of the step before
        return ()

    return Potential(init=init, value=value, score=Score(apply=term, memory=memory))
