"""Soft values, and one update of soft actor-critic, for action vectors and indices alike.

    V(s) = E_π min_j Q_j(s, a) + α H(π(.|s))

For indices the expectation is a sum. For vectors it is one reparametrised sample, and H its
negative log-probability: a density over actions in units of half their range.

After an end there is nothing, or the absorbing state s_∞, which has one action, leads to itself and
is worth what its rewards are:

    Q(s_∞) = r(s_∞) + γ Q̄(s_∞)

It teaches the critics alone: no policy acts there, and there is no entropy.

Reference: haarnoja2018sac, christodoulou2019discrete, kostrikov2019dac
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import descent
from evil.distributions.family import bounds
from evil.networks.actor_critic import ActorCritic
from evil.networks.critics import Critics
from evil.networks.mlp import apply
from evil.pytrees import pytree
from evil.seams import Key, Metrics, PyTree, Spec


@pytree
class Weights:
    """What updates change."""

    actor: PyTree
    critics: PyTree
    slow_critics: PyTree
    log_temperature: Array  # []
    optimiser: dict[str, optax.OptState]


@pytree
class Batch:
    """What an update sees, `[N]`."""

    obs: Array  # as the networks see it, like `next_obs`
    action: Array  # as applied
    next_obs: Array
    terminated: Array
    reward: Array
    is_absorbing: Array | None = None  # rows of the absorbing state, where the critics know it
    cloned: tuple[Array, Array] | None = None  # [M] observations and actions of the expert


@dataclasses.dataclass(frozen=True)
class Networks:
    """An actor and the critics that judge its actions; observations as the networks see them."""

    actor: ActorCritic
    critics: Critics

    @property
    def spec(self) -> Spec:
        return self.critics.spec

    def init(self, key: Key, temperature: float, actor: PyTree = None) -> Weights:
        """Weights before the first update, with an actor that is there already if there is one."""
        key_actor, key_critics = jax.random.split(key)
        obs = jnp.zeros((1, *self.spec.obs_shape))
        if actor is None:
            actor = self.actor.init(key_actor, obs)
        action = self.actor.family.mode(apply(self.actor, actor, obs, method="actor"))
        critics = self.critics.init(key_critics, obs, action)
        log_temperature = jnp.log(jnp.asarray(temperature, jnp.float32))
        learned = {"actor": actor, "critics": critics, "temperature": log_temperature}
        return Weights(
            actor=actor,
            critics=critics,
            slow_critics=jax.tree.map(jnp.copy, critics),  # donated buffers must be distinct
            log_temperature=log_temperature,
            optimiser={name: descent.ADAM.init(part) for name, part in learned.items()},
        )

    def values(
        self, critics: PyTree, obs: Array, action: Array, is_absorbing: Array | None = None
    ) -> Array:
        """Q `[number, N]` of actions as applied."""
        if not self.spec.is_discrete:
            action = bounds(self.spec).to_latent(action)
        return apply(self.critics, critics, obs, action, is_absorbing)

    def absorbing_value(self, critics: PyTree) -> Array:
        """The least Q `[]` of the absorbing state; zero for critics that do not know it."""
        if not self.critics.absorbing:
            return jnp.zeros(())
        obs, action = absorbing(self.spec)
        return self.values(critics, obs[None], action[None], jnp.ones(1)).min()

    def log_prob(self, actor: PyTree, obs: Array, action: Array) -> Array:
        """log π(a|s) `[N]` of actions as applied."""
        outputs = apply(self.actor, actor, obs, method="actor")
        return self.actor.family.log_prob_of_action(outputs, action)

    def soft_value(
        self, actor: PyTree, critics: PyTree, obs: Array, key: Key, temperature: Array
    ) -> tuple[Array, Array]:
        """V `[N]` and the policy's entropy `[N]`, in nats."""
        outputs = apply(self.actor, actor, obs, method="actor")
        if self.spec.is_discrete:
            log_prob = jax.nn.log_softmax(outputs["logits"])
            least = apply(self.critics, critics, obs, method="choices").min(axis=0)
            value = jnp.sum(jnp.exp(log_prob) * least, axis=-1)
            entropy = -jnp.sum(jnp.exp(log_prob) * log_prob, axis=-1)
        else:
            family = self.actor.family
            latent = family.sample(outputs, key)
            value = self.values(critics, obs, family.apply(latent)).min(axis=0)
            entropy = -family.log_prob(outputs, latent)
        return value + temperature * entropy, entropy


def absorbing(spec: Spec) -> tuple[Array, Array]:
    """Observation and action of the absorbing state, as the networks see the one: zeros."""
    obs = jnp.zeros(spec.obs_shape)
    if spec.is_discrete:
        return obs, jnp.zeros((), jnp.int32)
    return obs, bounds(spec).to_action(jnp.zeros(spec.action_size))


def target_entropy(spec: Spec, target: float | None) -> float:
    """The entropy at which the temperature aims, in nats: see `evil.learners.sac.Config`."""
    if spec.num_actions is None:
        return (-1.0 if target is None else target) * spec.action_size
    return (0.5 if target is None else target) * math.log(spec.num_actions)


def targets(
    rewards: Array,
    terminated: Array,
    next_values: Array,
    *,
    discount: Array | float,
    after: Array | float = 0.0,
) -> Array:
    """What Q is fitted to: r + γ V(s'), where V(s') counts after a time limit, not after an end.

    After an end it is `after`, the value of the absorbing state.
    """
    return rewards + discount * jnp.where(terminated, after, next_values)


def critic_loss(values: Array, target: Array) -> Array:
    """Mean squared errors of all critics, added up: `values [number, N]`, `target [N]`."""
    return jnp.square(values - target[None]).mean(axis=-1).sum()


def temperature_loss(log_temperature: Array, entropy: Array, target: Array | float) -> Array:
    """α (H - H̄), which falls as α rises where the policy's mean entropy H is below its target."""
    return jnp.exp(log_temperature) * (jax.lax.stop_gradient(entropy).mean() - target)


def follow(average: PyTree, present: PyTree, retention: Array | float) -> PyTree:
    """The slow copy of a network: ρ of itself and 1 - ρ of the present one."""
    return jax.tree.map(lambda a, p: a + (1.0 - retention) * (p - a), average, present)


def update(
    weights: Weights,
    batch: Batch,
    key: Key,
    networks: Networks,
    *,
    rate: Array,
    discount: Array,
    retention: Array,
    target_entropy: Array | None,
    cloning_weight: Array | float = 0.0,
) -> tuple[Weights, Metrics]:
    """One step of size `rate` for critics, actor and temperature, in this order.

    With `target_entropy` None the temperature stays what it is. `cloning_weight` is that of the
    negative log-likelihood of what is cloned, in the loss of the actor.
    """
    key_next, key_actor = jax.random.split(key)
    temperature = jnp.exp(weights.log_temperature)
    optimiser = dict(weights.optimiser)
    present = None if batch.is_absorbing is None else ~batch.is_absorbing

    def mean(x: Array) -> Array:
        """Over the rows where a policy acts."""
        if present is None:
            return x.mean()
        return jnp.sum(x, where=present) / jnp.maximum(present.sum(), 1)

    def descend(name: str, params: PyTree, grads: PyTree) -> PyTree:
        params, optimiser[name] = descent.descend(
            descent.ADAM, grads, optimiser[name], params, rate=rate
        )
        return params

    following, _ = networks.soft_value(
        weights.actor, weights.slow_critics, batch.next_obs, key_next, temperature
    )
    after = networks.absorbing_value(weights.slow_critics)
    target = targets(batch.reward, batch.terminated, following, discount=discount, after=after)

    def critic_objective(critics: PyTree) -> tuple[Array, Array]:
        values = networks.values(critics, batch.obs, batch.action, batch.is_absorbing)
        return critic_loss(values, target), values

    grads, values = jax.grad(critic_objective, has_aux=True)(weights.critics)
    critics = descend("critics", weights.critics, grads)

    def actor_objective(actor: PyTree) -> tuple[Array, tuple[Array, Metrics]]:
        value, entropy = networks.soft_value(actor, critics, batch.obs, key_actor, temperature)
        loss, metrics = -mean(value), {}
        if batch.cloned is not None:
            metrics["learner/cloning_loss"] = -networks.log_prob(actor, *batch.cloned).mean()
            loss = loss + cloning_weight * metrics["learner/cloning_loss"]
        return loss, (mean(entropy), metrics)

    grads, (entropy, metrics) = jax.grad(actor_objective, has_aux=True)(weights.actor)
    actor = descend("actor", weights.actor, grads)

    log_temperature = weights.log_temperature
    if target_entropy is not None:
        slope = jax.grad(temperature_loss)(log_temperature, entropy, target_entropy)
        log_temperature = descend("temperature", log_temperature, slope)
    weights = Weights(
        actor=actor,
        critics=critics,
        slow_critics=follow(weights.slow_critics, critics, retention),
        log_temperature=log_temperature,
        optimiser=optimiser,
    )
    return weights, metrics | {
        "learner/critic_loss": critic_loss(values, target),
        "learner/value": values.mean(),
        "learner/entropy": entropy,
        "learner/temperature": temperature,
    }
