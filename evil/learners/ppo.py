"""Proximal policy optimisation, for discrete and continuous actions alike.

One `step` is one rollout and the epochs of minibatch updates on it; their objective is in
`evil.learners.proximal`. The rewards are those of the `Score` given to `make`; its parameters are
an argument of `step`.

Reference: schulman2017ppo
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array

from evil import normalise, schedules
from evil.environments import episodes
from evil.errors import UserError, fields_are_fractions, fields_at_least
from evil.learners import (
    estimates,
    minibatches,
    policies,
    proximal,
    returns,
    rollout,
    scoring,
)
from evil.networks import actor_critic
from evil.networks.mlp import apply
from evil.pytrees import pytree, traced
from evil.seams import Environment, Key, Learner, Metrics, Policy, PyTree, Score, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """Proximal policy optimisation."""

    num_envs: int = 512
    """Environments stepped side by side."""
    num_steps: int = 32
    """Steps per environment in one rollout."""
    num_epochs: int = 8
    """Passes over each rollout."""
    num_minibatches: int = 16
    """Gradient steps per pass; must divide num_envs x num_steps."""
    network: actor_critic.Config = actor_critic.Config()
    """The actor and the critic."""
    learning_rate: float = 1e-3
    """Adam's step size at the start. Traced."""
    final_learning_rate: float = 5e-5
    """Adam's step size after `anneal_iterations`. Traced."""
    anneal_iterations: int = 0
    """Iterations over which step size, entropy bonus and a prescribed deviation fall linearly; 0
    keeps them constant."""
    discount: float = 0.99
    """Discount γ per step. Traced."""
    gae_lambda: float = 0.95
    """λ of the advantage estimates. Traced."""
    clip: float = 0.2
    """ε: how far probability ratios may move. Traced."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy bonus at the start, reward units per nat. Traced."""
    final_entropy_coefficient: float = 0.0
    """Weight of the entropy bonus after `anneal_iterations`. Traced."""
    final_log_std: float | None = None
    """Log standard deviation of gaussian actions after `anneal_iterations`, prescribed from the
    network's initial one on; None: it is learned."""
    value_coefficient: float = 0.5
    """Weight of the value loss. Traced."""
    max_gradient_norm: float = 0.5
    """Global norm to which gradients are clipped. Traced."""
    clip_values: bool = False
    """Whether value predictions may move only `clip` away from the old ones."""
    normalise_rewards: bool = True
    """Whether rewards are divided by the running deviation of their discounted sums."""
    normalise_advantages: bool = True
    """Whether advantages are standardised in each minibatch."""
    num_starts: int = 64
    """Fresh episode starts drawn per rollout."""
    final_restart_rate: float = 0.0
    """Probability per step with which every other environment starts anew, to practise beginnings;
    it rises from 0 over `anneal_iterations` as the fourth power of time. Traced."""
    cloning_batch: int = 0
    """Steps of the expert that the actor is to imitate, too, in every minibatch; 0: none."""
    cloning_weight: float = 1.0
    """Weight of their negative log-likelihood in the loss. Traced."""

    @property
    def reads_expert(self) -> bool:
        """Whether it needs the demonstrations, besides a reward."""
        return self.cloning_batch > 0

    @property
    def alone(self) -> Config:
        """The same without the expert."""
        return dataclasses.replace(self, cloning_batch=0)


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each: an outer loop may `vmap` over them."""

    learning_rate: Array
    final_learning_rate: Array
    discount: Array
    gae_lambda: Array
    clip: Array
    entropy_coefficient: Array
    final_entropy_coefficient: Array
    value_coefficient: Array
    max_gradient_norm: Array
    final_restart_rate: Array
    cloning_weight: Array


@pytree
class State:
    """Everything that PPO carries from one iteration to the next."""

    network: PyTree
    optimiser: optax.OptState
    obs_moments: normalise.Moments
    episodes: episodes.State
    scoring: scoring.State
    physics: PyTree  # environment parameters: data, so that worlds may differ between lanes
    hyper: Hyper
    iteration: Array  # [] int32
    key: Key


def annealed(config: Config, state: State, first: Array | float, last: Array | float) -> Array:
    """What falls or rises from `first` to `last` in the course of the annealing."""
    return schedules.annealed(first, last, config.anneal_iterations, state.iteration)


def make(config: Config, env: Environment, score: Score) -> Learner:
    """Bind PPO to an environment and to the form of a reward."""
    prescribed = config.final_log_std is not None
    fields_at_least(
        1, config, "num_envs", "num_steps", "num_epochs", "num_minibatches", "num_starts"
    )
    steps = ("learning_rate", "final_learning_rate", "anneal_iterations", "max_gradient_norm")
    weights = ("value_coefficient", "cloning_batch", "cloning_weight")
    fields_at_least(0, config, *steps, "clip", *weights)
    fields_are_fractions(config, "discount", "gae_lambda", "final_restart_rate")
    if not config.anneal_iterations and (prescribed or config.final_restart_rate):
        raise UserError(
            "final_log_std and final_restart_rate are reached after anneal_iterations: expected 1 "
            "or more, found 0."
        )
    size = minibatches.rollout_size(config.num_envs, config.num_steps, config.num_minibatches)
    scoring.check(score, cloned=config.cloning_batch)
    module = actor_critic.make(config.network, env.spec, prescribed=prescribed)
    family = module.family
    stochastic = policies.make(config.network, module)
    greedy = policies.make(config.network, module, deterministic=True)

    def deviate(network: PyTree, iteration: Array) -> PyTree:
        """The network with the deviation that is prescribed for an iteration, if one is."""
        if config.final_log_std is None:
            return network
        first, last = config.network.initial_log_std, config.final_log_std
        log_std = schedules.annealed(first, last, config.anneal_iterations, iteration)
        return actor_critic.prescribe(network, log_std)

    def demonstrate(
        reward_params: PyTree, observe: Callable[[Array], Array], key: Key
    ) -> tuple[Array, Array]:
        """Steps of the expert to clone, which come with the parameters of the reward."""
        assert score.expert is not None
        rows = score.expert(reward_params, key, config.cloning_batch)
        return observe(rows.obs), rows.action

    def fresh(key: Key, hyper: Hyper, network: PyTree = None) -> dict[str, PyTree]:
        blank = jnp.zeros((1, *env.spec.obs_shape))
        params = module.init(key, blank) if network is None else network
        return {"network": params, "optimiser": proximal.optimiser(hyper).init(params)}

    def init(key: Key, physics: PyTree = None, policy: PyTree = None) -> State:
        physics = jax.tree.map(jnp.asarray, env.params if physics is None else physics)
        key_network, key_worlds, key = jax.random.split(key, 3)
        hyper = traced(Hyper, config)
        given = policy or {"network": None, "obs_moments": normalise.init(env.spec.obs_shape)}
        return State(
            **fresh(key_network, hyper, given["network"]),
            obs_moments=given["obs_moments"],
            episodes=episodes.init(env, key_worlds, physics, config.num_envs),
            scoring=scoring.init(score, config.num_envs),
            physics=physics,
            hyper=hyper,
            iteration=jnp.zeros((), jnp.int32),
            key=key,
        )

    def step(state: State, reward_params: PyTree) -> tuple[State, Transition, Metrics]:
        key_rollout, key_update, key = jax.random.split(state.key, 3)
        observe = functools.partial(policies.observe, config.network, state.obs_moments)

        def actor(obs: Array, key: Key, memory: PyTree) -> tuple[Array, Array, PyTree]:
            latent = family.sample(apply(module, state.network, observe(obs), method="actor"), key)
            return latent, family.apply(latent), memory

        worlds, _, transitions, latents = rollout.collect(
            env,
            actor,
            key_rollout,
            state.episodes,
            (),
            state.physics,
            config.num_steps,
            num_starts=config.num_starts,
            restart_rate=state.hyper.final_restart_rate * annealed(config, state, 0.0, 1.0) ** 4,
        )
        outputs = apply(module, state.network, observe(transitions.obs), method="actor")
        # A reward that asks how likely an action was has only seen actions as applied.
        likelihood = family.log_prob_of_action(outputs, transitions.action)
        transitions = dataclasses.replace(transitions, log_prob=likelihood)
        accounts, rewards, scored = scoring.pay(
            score,
            reward_params,
            state.scoring,
            transitions,
            worlds.has_completed,
            discount=state.hyper.discount,
            scaled=config.normalise_rewards,
        )
        batch = estimates.make_batch(
            module,
            state.network,
            observe,
            transitions,
            latents,
            family.log_prob(outputs, latents),
            rewards,
            discount=state.hyper.discount,
            lambda_=state.hyper.gae_lambda,
        )
        hyper = state.hyper
        rate = annealed(config, state, hyper.learning_rate, hyper.final_learning_rate)
        bonus = annealed(config, state, hyper.entropy_coefficient, hyper.final_entropy_coefficient)
        params, opt_state, metrics = proximal.improve(
            state.network,
            state.optimiser,
            module,
            batch,
            dataclasses.replace(hyper, entropy_coefficient=bonus),
            config,
            key_update,
            rate=rate,
            demonstrate=functools.partial(demonstrate, reward_params, observe)
            if config.cloning_batch
            else None,
        )

        metrics |= scored | episodes.statistics(worlds) | {"learner/learning_rate": rate}
        metrics["learner/explained_variance"] = returns.explained_variance(
            batch.value, batch.target
        )
        state = dataclasses.replace(
            state,
            network=deviate(params, state.iteration + 1),
            optimiser=opt_state,
            # After the update: old and new log-probabilities must see the same observations.
            obs_moments=normalise.update(state.obs_moments, transitions.obs)
            if config.network.normalise_observations
            else state.obs_moments,
            episodes=worlds,
            scoring=accounts,
            iteration=state.iteration + 1,
            key=key,
        )
        return state, transitions, metrics

    def policy(state: State, *, deterministic: bool = False) -> Policy:
        params = {"network": state.network, "obs_moments": state.obs_moments}
        return dataclasses.replace(greedy if deterministic else stochastic, params=params)

    def reset_policy(key: Key, state: State) -> State:
        start = jnp.zeros_like(state.iteration)
        return dataclasses.replace(state, **fresh(key, state.hyper), iteration=start)

    return Learner(
        init=init,
        step=step,
        policy=policy,
        reset_policy=reset_policy,
        steps_per_iteration=size,
        parts=episodes.parts(env.spec, config.num_envs),
    )
