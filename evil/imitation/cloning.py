"""What cloning and DAgger share: fitting a policy network to an expert's labels.

    nll            -log π_θ(u | s),  u the latent that yields the labelled action
    mse            |a - a_θ(s)|²,    a_θ the action of the mode, averaged over components
    cross_entropy  -Σ_a π_E(a | s) log π_θ(a | s)
    kl             KL(π_E(· | s) ‖ π_θ(· | s)), of the latents

The first two want an action for a label, the others what the expert's distribution is made of. On
discrete actions nll is the cross-entropy with the action that was taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import distributions, normalise
from evil.distributions.family import bounds
from evil.errors import UserError, unknown
from evil.learners import policies
from evil.networks import actor_critic
from evil.networks.actor_critic import ActorCritic
from evil.networks.mlp import apply
from evil.seams import Key, PyTree, Spec

OF_ACTIONS = ("nll", "mse")
OF_DISTRIBUTIONS = ("cross_entropy", "kl")
# e^-5 of half the action range. The likelihood of a deterministic expert has no maximum: without
# a bound the deviation would shrink until its logarithm, and with it everything, is not finite.
MIN_LOG_STD = -5.0
CONSTANT = 1e-5  # relative deviation below which an observation has only rounding errors


class Objective(Protocol):
    """The fields of a config that say what is fitted and how far off it is."""

    @property
    def network(self) -> actor_critic.Config: ...
    @property
    def loss(self) -> str: ...


def check(objective: Objective, spec: Spec, known: tuple[str, ...]) -> None:
    """UserError for a loss that is not known or does not fit the environment's actions."""
    if objective.loss not in known:
        raise unknown("cloning loss", objective.loss, known)
    if objective.loss == "mse" and spec.is_discrete:
        raise UserError(f"squared errors need action vectors, but {spec.name!r} is discrete: nll")
    if objective.loss == "cross_entropy" and not spec.is_discrete:
        raise UserError(f"cross_entropy needs discrete actions, but {spec.name!r} has vectors: kl")


def losses(
    network: PyTree,
    module: ActorCritic,
    spec: Spec,
    objective: Objective,
    moments: normalise.Moments,
    obs: Array,
    label: PyTree,
) -> Array:
    """Loss of every labelled observation `[N]`: nats, or squared action units."""
    family = module.family
    obs = policies.observe(objective.network, moments, obs)
    outputs = apply(module, network, obs, method="actor")
    if objective.loss == "nll":
        return -family.log_prob_of_action(outputs, label)
    if objective.loss == "kl":
        return family.kl(label, outputs)
    if objective.loss == "cross_entropy":
        expected = jax.nn.softmax(label["logits"]) * jax.nn.log_softmax(outputs["logits"])
        return -expected.sum(-1)
    latent = family.mode(outputs)
    action = family.apply(latent)
    if distributions.resolve(objective.network.distribution, spec) != "tanh_gaussian":
        # Clipping has no slope outside the bounds: gradients go past it, or a mode that strays
        # there would never return. Where the expert plays the bound, the error is zero anyhow.
        unclipped = bounds(spec).to_action(latent)
        action = unclipped + jax.lax.stop_gradient(action - unclipped)
    return jnp.square(action - label).mean(-1)


def optimiser(learning_rate: Array, weight_decay: Array) -> optax.GradientTransformation:
    """AdamW, whose decay spares biases, the log standard deviation and the unused critic."""

    def decays(network: PyTree) -> PyTree:
        def is_actor_matrix(path: tuple, x: Array) -> bool:
            return "actor_network" in jax.tree_util.keystr(path) and x.ndim > 1

        return jax.tree_util.tree_map_with_path(is_actor_matrix, network)

    return optax.chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(weight_decay, mask=decays),  # pyright: ignore[reportArgumentType]
        optax.scale_by_learning_rate(learning_rate),  # pyright: ignore[reportArgumentType]
    )


def fit(
    key: Key,
    transform: optax.GradientTransformation,
    network: PyTree,
    opt_state: optax.OptState,
    loss: Callable[[PyTree, Key], Array],
    num_updates: int,
) -> tuple[PyTree, optax.OptState, Array]:
    """Network and optimiser after some updates, and their mean loss.

    `loss(network, key)` draws a batch of its own in every update.
    """

    def update(carry: tuple[PyTree, PyTree], key: Key) -> tuple[tuple[PyTree, PyTree], Array]:
        network, opt_state = carry
        value, grads = jax.value_and_grad(loss)(network, key)
        updates, opt_state = transform.update(grads, opt_state, network)
        return (bounded(optax.apply_updates(network, updates)), opt_state), value

    keys = jax.random.split(key, num_updates)
    (network, opt_state), values = jax.lax.scan(update, (network, opt_state), keys)
    return network, opt_state, values.mean()


def bounded(network: PyTree) -> PyTree:
    """The network with its log standard deviation, if it has one, at `MIN_LOG_STD` or more."""
    params = network["params"]
    if "log_std" not in params:
        return network
    log_std = jnp.maximum(params["log_std"], MIN_LOG_STD)
    return {**network, "params": {**params, "log_std": log_std}}


def moments(seen: normalise.Moments) -> normalise.Moments:
    """Moments by which a clone standardises observations, given those of what it has seen.

    An observation that never varies keeps unit variance, so that a change of it during play, to
    which the network was never trained to react, is not blown up.
    """
    varies = jnp.sqrt(seen.variance) > CONSTANT * (1.0 + jnp.abs(seen.mean))
    return dataclasses.replace(seen, variance=jnp.where(varies, seen.variance, 1.0))
