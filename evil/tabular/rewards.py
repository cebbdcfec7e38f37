"""Rewards of a finite world: parameters in, a table `[S, A]` out.

table      r(s) or r(s, a), one parameter each
linear     θ·φ(s) or θ·φ(s, a)
network    f_θ(φ(s)) or f_θ(φ(s))_a, any flax module
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import UserError, unknown
from evil.networks import mlp
from evil.seams import Key, PyTree

INPUTS = ("state", "state_action")


@dataclasses.dataclass(frozen=True)
class Config:
    """The form of a reward."""

    form: Literal["table", "linear", "network"] = "table"
    """A parameter per entry, or a function of the world's features."""
    inputs: Literal["state", "state_action"] = "state_action"
    """Whether the reward depends on the action."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers of a network."""
    activation: str = "tanh"
    """Activation of the hidden layers: tanh, relu, elu, silu or gelu."""
    level: float = 0.0
    """What a table's parameters begin at: below 0, what nobody ever tried is not worth a try."""
    spread: float = 0.0
    """By how much, at most and uniformly, they begin above it."""


@dataclasses.dataclass(frozen=True)
class Reward:
    """A reward as planning consumes it."""

    init: Callable[[Key], PyTree]
    table: Callable[[PyTree], Array]  # parameters -> [S, A]


def make(config: Config, num_states: int, num_actions: int, features: Array | None) -> Reward:
    """The reward that a config describes; `features [S, K]` are those of its states."""
    if config.inputs not in INPUTS:
        raise unknown("inputs", config.inputs, INPUTS)
    outputs = num_actions if config.inputs == "state_action" else 1
    if config.form == "table":
        return table(num_states, num_actions, outputs, config.level, config.spread)
    if features is None:
        raise UserError(f"a {config.form} reward needs features of the states: expected [S, K].")
    if config.form == "linear":
        module: nn.Module = nn.Dense(outputs, use_bias=False)
    elif config.form == "network":
        mlp.check(config.hidden, config.activation)
        module = mlp.MLP(config.hidden, outputs, config.activation)
    else:
        raise unknown("form of reward", config.form, ("table", "linear", "network"))
    return network(module, features, num_actions)


def table(
    num_states: int, num_actions: int, outputs: int, level: float = 0.0, spread: float = 0.0
) -> Reward:
    """One parameter per state, or per state and action."""

    def init(key: Key) -> Array:
        return level + spread * jax.random.uniform(key, (num_states, outputs))

    return Reward(init, lambda params: jnp.broadcast_to(params, (num_states, num_actions)))


def network(module: nn.Module, features: Array, num_actions: int) -> Reward:
    """A module of features `[S, K]`, with one output or one per action; or `[S, A, K]`, with one.

    For UserErrors the number of outputs is looked at when the reward is made.
    """
    shape = jax.eval_shape(
        lambda: mlp.apply(module, module.init(jax.random.key(0), features), features)
    ).shape
    num_states = features.shape[0]
    wanted = (num_states, num_actions)
    if shape not in (wanted, (num_states, 1), (*wanted, 1)):
        raise UserError(
            f"the module makes {shape} of features {features.shape}, expected {wanted}, "
            f"{(num_states, 1)} or {(*wanted, 1)}."
        )

    def evaluate(params: PyTree) -> Array:
        values = mlp.apply(module, params, features)
        values = values[..., 0] if values.ndim == 3 else values
        return jnp.broadcast_to(values, wanted)

    return Reward(lambda key: module.init(key, features), evaluate)
