"""Separate actor and critic perceptrons in one module, applied one at a time."""

from __future__ import annotations

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from evil import distributions
from evil.distributions import Family
from evil.errors import UserError, unknown
from evil.networks import mlp
from evil.networks.mlp import MLP, flatten
from evil.seams import PyTree, Spec

DEVIATIONS = ("constant", "by_state")
LOG_STD = (-20.0, 2.0)  # bounds of a log standard deviation by state


@dataclasses.dataclass(frozen=True)
class Config:
    """An actor-critic network."""

    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers of the actor and, separately, of the critic."""
    activation: str = "tanh"
    """Activation of the hidden layers: tanh, relu, elu, silu or gelu."""
    distribution: Literal["auto", "squashed", "categorical", "gaussian", "tanh_gaussian"] = "auto"
    """Policy distribution; by the environment's actions, auto is categorical or gaussian, squashed
    is categorical or tanh_gaussian."""
    initial_log_std: float = 0.0
    """Initial log standard deviation of gaussian policies, in units of half the action range."""
    deviation: Literal["constant", "by_state"] = "constant"
    """Whether the log standard deviation is a parameter or an output of the actor's network."""
    critic: bool = True
    """Whether there is a critic of states; learners with critics of actions have their own."""
    normalise_observations: bool = True
    """Whether the networks see observations centred and scaled by running moments."""
    embed: bool = False
    """Whether whole-number observations are looked up in a table, whose rows are the first layer;
    then they are never normalised."""


class ActorCritic(nn.Module):
    """An actor that emits what `family` needs and a critic that estimates the return.

    The actor's last layer starts near zero, so that the first policy hardly depends on the
    observation. A constant log standard deviation does not depend on it ever; where it is
    prescribed, nothing is learned about it, and `prescribe` sets it. One by state is bounded.
    """

    family: Family
    obs_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    activation: str
    initial_log_std: float = 0.0
    prescribed: bool = False
    sizes: tuple[int, ...] = ()  # of whole-number observations, if those are looked up
    by_state: bool = False
    has_critic: bool = True

    def setup(self) -> None:
        outputs = self.family.num_outputs * (2 if self.by_state else 1)
        self.actor_network = MLP(self.hidden, outputs, self.activation, 0.01, self.sizes)
        if self.has_critic:
            self.critic_network = MLP(self.hidden, 1, self.activation, 1.0, self.sizes)
        if self.family.has_log_std and not self.by_state:
            initialiser = nn.initializers.constant(self.initial_log_std)
            self.log_std = self.param("log_std", initialiser, (self.family.num_outputs,))

    def __call__(self, obs: Array) -> tuple[PyTree, Array | None]:
        return self.actor(obs), self.critic(obs) if self.has_critic else None

    def actor(self, obs: Array) -> PyTree:
        """Distribution outputs for normalised observations `[..., *obs_shape]`."""
        output = self.actor_network(flatten(obs, self.obs_shape))
        if not self.family.has_log_std:
            return {"logits": output}
        if self.by_state:
            mean, log_std = jnp.split(output, 2, axis=-1)
            return {"mean": mean, "log_std": jnp.clip(self.initial_log_std + log_std, *LOG_STD)}
        log_std = jax.lax.stop_gradient(self.log_std) if self.prescribed else self.log_std
        return {"mean": output, "log_std": jnp.broadcast_to(log_std, output.shape)}

    def critic(self, obs: Array) -> Array:
        """Estimated discounted return `[...]`, in units of the scaled reward."""
        return self.critic_network(flatten(obs, self.obs_shape)).squeeze(-1)


def make(config: Config, spec: Spec, *, prescribed: bool = False) -> ActorCritic:
    """The network that `config` describes for an environment's observations and actions.

    With `prescribed`, the log standard deviation of a gaussian policy is not learned.
    """
    mlp.check(config.hidden, config.activation)
    family = distributions.make(config.distribution, spec)
    if config.deviation not in DEVIATIONS:
        raise unknown("deviation", config.deviation, DEVIATIONS)
    by_state = family.has_log_std and config.deviation == "by_state"
    if prescribed and by_state:
        raise UserError("final_log_std prescribes a constant deviation, found one by_state.")
    if prescribed and not family.has_log_std:
        raise UserError(
            f"final_log_std prescribes the deviation of gaussian actions, but a policy of "
            f"{spec.name} is {config.distribution} and has none: leave final_log_std at None."
        )
    if config.embed and not spec.obs_sizes:
        raise UserError(
            f"embed looks up whole-number observations in a table, but those of {spec.name} are "
            "not: leave embed at False."
        )
    return ActorCritic(
        family=family,
        obs_shape=spec.obs_shape,
        hidden=config.hidden,
        activation=config.activation,
        initial_log_std=config.initial_log_std,
        prescribed=prescribed,
        sizes=spec.obs_sizes if config.embed else (),
        by_state=by_state,
        has_critic=config.critic,
    )


def prescribe(network: PyTree, log_std: Array) -> PyTree:
    """Parameters of a gaussian policy with the log standard deviation `[]` in every action."""
    weights = network["params"]
    everywhere = jnp.broadcast_to(log_std, weights["log_std"].shape)
    return {**network, "params": {**weights, "log_std": everywhere}}
