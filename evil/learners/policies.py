"""From an actor network and observation moments to a policy."""

from __future__ import annotations

from collections.abc import Callable

from jax import Array

from evil import normalise
from evil.networks import actor_critic
from evil.networks.actor_critic import ActorCritic
from evil.networks.mlp import apply
from evil.seams import Key, Policy, PyTree, Transition

# (parameters of a policy, obs [B, ...]) -> what the policy's `Family` reads
Outputs = Callable[[PyTree, Array], PyTree]


def observe(config: actor_critic.Config, moments: normalise.Moments, obs: Array) -> Array:
    """Observations `[..., *obs_shape]` as the networks see them."""
    is_normalised = config.normalise_observations and not config.embed
    return normalise.normalise(moments, obs) if is_normalised else obs


def make(
    config: actor_critic.Config,
    module: ActorCritic,
    params: PyTree = None,
    *,
    deterministic: bool = False,
) -> Policy:
    """The policy of `params = {"network": ..., "obs_moments": Moments}`, as a policy file holds.

    A deterministic policy plays the mode of its distribution, otherwise it samples.
    """
    family = module.family
    outputs = distribution(config, module)

    def act(params: PyTree, obs: Array, key: Key, memory: PyTree) -> tuple[Array, PyTree]:
        found = outputs(params, obs)
        latent = family.mode(found) if deterministic else family.sample(found, key)
        return family.apply(latent), memory

    def log_prob(params: PyTree, transitions: Transition) -> Array:
        return family.log_prob_of_action(outputs(params, transitions.obs), transitions.action)

    return Policy(params=params, act=act, log_prob=log_prob)


def distribution(config: actor_critic.Config, module: ActorCritic) -> Outputs:
    """What the distribution of such a policy is made of, for losses that compare distributions."""

    def outputs(params: PyTree, obs: Array) -> PyTree:
        obs = observe(config, params["obs_moments"], obs)
        return apply(module, params["network"], obs, method="actor")

    return outputs
