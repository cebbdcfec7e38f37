"""What on-policy learners fit to: values, log-probabilities and advantages of a rollout."""

from __future__ import annotations

from collections.abc import Callable

from jax import Array

from evil.learners import returns
from evil.networks.actor_critic import ActorCritic
from evil.networks.mlp import apply
from evil.pytrees import pytree
from evil.seams import PyTree, Transition


@pytree
class Batch:
    """A rollout `[T, B]`, or a minibatch of it `[N]`, under the policy that collected it."""

    obs: Array  # as the networks see it
    latent: Array
    log_prob: Array
    value: Array
    advantage: Array
    target: Array


def make_batch(
    module: ActorCritic,
    network: PyTree,
    observe: Callable[[Array], Array],
    transitions: Transition,
    latents: Array,
    log_prob: Array,
    rewards: Array,
    *,
    discount: Array | float,
    lambda_: Array | float,
) -> Batch:
    """Estimates for transitions `[T, B]` in batched calls; `rewards` are what is learned from.

    `log_prob` is that of the latents; `observe` makes observations what the networks see.
    """
    obs = observe(transitions.obs)
    values = apply(module, network, obs, method="critic")
    next_values = apply(module, network, observe(transitions.next_obs), method="critic")
    advantage = returns.advantages(
        rewards,
        values,
        next_values,
        transitions.terminated,
        transitions.truncated,
        discount=discount,
        lambda_=lambda_,
    )
    return Batch(
        obs=obs,
        latent=latents,
        log_prob=log_prob,
        value=values,
        advantage=advantage,
        target=advantage + values,
    )
