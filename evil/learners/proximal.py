"""The objective of proximal policy optimisation, and its descent on a rollout.

    L(θ) = -E min(ρ A, clip(ρ, 1-ε, 1+ε) A) + c_v L_V - c_e H - c_b E log π_θ(a_E|s_E)

with ρ = π_θ(a|s) / π_old(a|s). The last term, over steps of an expert, is there if asked for.

Reference: schulman2017ppo
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import optax
from jax import Array

from evil import descent
from evil.learners import estimates, losses, minibatches
from evil.networks.actor_critic import ActorCritic
from evil.networks.mlp import apply
from evil.pytrees import merge_leading
from evil.seams import Key, Metrics, PyTree

if TYPE_CHECKING:
    from evil.learners import ppo

# key -> observations as the networks see them, and actions as applied, of some steps of an expert
Demonstrate = Callable[[Key], tuple[Array, Array]]


def optimiser(hyper: ppo.Hyper) -> optax.GradientTransformation:
    """Adam on clipped gradients, without the step size, which `improve` applies."""
    return optax.chain(
        optax.clip_by_global_norm(hyper.max_gradient_norm), optax.scale_by_adam(eps=1e-5)
    )


def loss(
    network: PyTree,
    module: ActorCritic,
    batch: estimates.Batch,
    hyper: ppo.Hyper,
    config: ppo.Config,
    key: Key,
    demonstrate: Demonstrate | None = None,
) -> tuple[Array, Metrics]:
    """The objective on one minibatch `[N]`: loss and diagnostics."""
    key_entropy, key_expert = jax.random.split(key)
    outputs, values = apply(module, network, batch.obs)
    log_prob = module.family.log_prob(outputs, batch.latent)
    advantage = batch.advantage
    if config.normalise_advantages:
        advantage = losses.standardise(advantage)
    policy_loss = losses.clipped_surrogate(log_prob, batch.log_prob, advantage, clip=hyper.clip)
    if config.clip_values:
        value_loss = losses.clipped_value_error(values, batch.value, batch.target, clip=hyper.clip)
    else:
        value_loss = losses.value_error(values, batch.target)
    entropy = module.family.entropy(outputs, key_entropy).mean()
    total = policy_loss + hyper.value_coefficient * value_loss
    total = total - hyper.entropy_coefficient * entropy
    metrics = {
        "learner/policy_loss": policy_loss,
        "learner/value_loss": value_loss,
        "learner/entropy": entropy,
        "learner/approximate_kl": losses.approximate_kl(log_prob, batch.log_prob),
    }
    if demonstrate is not None:
        obs, action = demonstrate(key_expert)
        outputs = apply(module, network, obs, method="actor")
        cloning = -module.family.log_prob_of_action(outputs, action).mean()
        total = total + hyper.cloning_weight * cloning
        metrics["learner/cloning_loss"] = cloning
    return total, metrics


def improve(
    network: PyTree,
    opt_state: optax.OptState,
    module: ActorCritic,
    batch: estimates.Batch,
    hyper: ppo.Hyper,
    config: ppo.Config,
    key: Key,
    *,
    rate: Array,
    demonstrate: Demonstrate | None = None,
) -> tuple[PyTree, optax.OptState, Metrics]:
    """All epochs of minibatch steps of size `rate` on one rollout `[T, B]`.

    Diagnostics are means over the steps.
    """
    transform = optimiser(hyper)
    gradient = jax.grad(loss, has_aux=True)

    def descend(carry: PyTree, rows: estimates.Batch, key: Key) -> tuple[PyTree, Metrics]:
        network, opt_state = carry
        grads, metrics = gradient(network, module, rows, hyper, config, key, demonstrate)
        metrics["learner/gradient_norm"] = optax.tree.norm(grads)
        return descent.descend(transform, grads, opt_state, network, rate=rate), metrics

    (network, opt_state), metrics = minibatches.passes(
        key,
        descend,
        (network, opt_state),
        merge_leading(batch),
        epochs=config.num_epochs,
        minibatches=config.num_minibatches,
    )
    return network, opt_state, metrics
