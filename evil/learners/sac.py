"""Soft actor-critic, for discrete and continuous actions alike.

    y = r + γ (1 - terminated) V̄(s'),    V(s) = E_π min_j Q_j(s, a) + α H(π(.|s))
    critics  min Σ_j E (Q_j(s, a) - y)²        actor  max E V(s)        α  until H meets its target

V̄ is of slowly following critics. One `step` is a short rollout in many environments, its rows'
entry into the replay, and so many updates on batches of the replay.

What a row is worth can be decided twice. With `scoring="sampled"` the score is asked whenever a
batch is drawn: the whole replay is worth what the present parameters say, however old it is. With
`"collected"` it is asked once, along the rollout, and its answer is stored: the only way for
rewards with episode memory, and cheaper where the reward is frozen. What batches are made of is
said in `evil.learners.drawing`.

Reference: haarnoja2018sac, haarnoja2018applications, christodoulou2019discrete
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil import normalise, schedules
from evil.environments import episodes
from evil.errors import UserError, fields_are_fractions, fields_at_least
from evil.learners import drawing, mixing, policies, rollout, scoring, soft
from evil.networks import actor_critic
from evil.networks.critics import Critics
from evil.networks.mlp import apply
from evil.pytrees import pytree, traced
from evil.seams import Environment, Key, Learner, Metrics, Policy, PyTree, Score, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """Soft actor-critic."""

    num_envs: int = 64
    """Environments stepped side by side."""
    num_steps: int = 4
    """Steps per environment in one rollout."""
    update_ratio: float = 0.25
    """Updates per collected transition; those of a rollout must be a whole number."""
    batch_size: int = 256
    """Rows of the replay in one update."""
    capacity: int = 1_000_000
    """Rows that the replay holds before it overwrites the oldest, rounded up to whole rollouts."""
    warmup: int = 1000
    """Rows that the replay must hold before anything is learned."""
    network: actor_critic.Config = actor_critic.Config(
        hidden=(256, 256),
        activation="relu",
        distribution="squashed",
        deviation="by_state",
        critic=False,
    )
    """The actor; the critics have hidden layers of the same kind."""
    scoring: Literal["auto", "sampled", "collected"] = "auto"
    """When rewards are computed: whenever rows are drawn, or once; auto: once if the reward has
    episode memory."""
    learning_rate: float = 3e-4
    """Adam's step size for actor, critics and temperature at the start. Traced."""
    final_learning_rate: float = 3e-4
    """Adam's step size after `anneal_iterations`. Traced."""
    anneal_iterations: int = 0
    """Iterations over which the step size falls linearly; 0 keeps it constant."""
    discount: float = 0.99
    """Discount γ per step. Traced."""
    retention: float = 0.995
    """What the slow critics keep of themselves in an update. Traced."""
    temperature: float = 1.0
    """Initial temperature α, reward units per nat."""
    learn_temperature: bool = True
    """Whether the temperature is learned."""
    target_entropy: float | None = None
    """Entropy at which the temperature aims: nats per component of an action vector, default -1; or
    share of the largest that choices can have, default 0.5. Traced."""
    normalise_rewards: bool = False
    """Whether rewards are divided by the running deviation of their discounted sums."""
    num_starts: int = 16
    """Fresh episode starts drawn per rollout."""
    expert_share: float = 0.0
    """Share of the rows learned from that are the expert's."""
    alternate: bool = False
    """Whether that is a share of whole batches rather than of each batch."""
    round_length: int = 0
    """Transitions in one round, for rewards that ask for it: see `evil.learners.mixing`. 0: all."""
    prefill: int = 0
    """Rows of the expert with which the replay is taken to have begun."""
    cloning_batch: int = 0
    """Steps of the expert that the actor is to imitate, too, in every update; 0: none."""
    cloning_weight: float = 1.0
    """Weight of their negative log-likelihood in the loss of the actor. Traced."""
    absorbing: drawing.Absorbing = "analytic"
    """Where an episode goes on that has terminated: see `evil.learners.drawing`."""

    @property
    def reads_expert(self) -> bool:
        """Whether it needs the demonstrations, besides a reward."""
        return self.expert_share > 0.0 or self.prefill > 0 or self.cloning_batch > 0

    @property
    def alone(self) -> Config:
        """The same without the expert."""
        return dataclasses.replace(self, expert_share=0.0, prefill=0, cloning_batch=0)


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each: an outer loop may `vmap` over them."""

    learning_rate: Array
    final_learning_rate: Array
    discount: Array
    retention: Array
    target_entropy: Array  # in the units of the config
    cloning_weight: Array


@pytree
class State:
    """Everything that SAC carries from one iteration to the next."""

    weights: soft.Weights
    obs_moments: normalise.Moments
    store: drawing.Store
    episodes: episodes.State
    scoring: scoring.State
    rounds: mixing.Rounds
    physics: PyTree  # environment parameters: data, so that worlds may differ between lanes
    hyper: Hyper
    iteration: Array  # [] int32
    key: Key


def check(config: Config) -> None:
    """UserError for options that mean nothing in any world."""
    fields_at_least(1, config, "num_envs", "num_steps", "batch_size", "capacity", "num_starts")
    steps = ("learning_rate", "final_learning_rate", "anneal_iterations")
    fields_at_least(0, config, *steps, "warmup", "prefill", "cloning_batch", "cloning_weight")
    fields_are_fractions(config, "discount", "retention")
    if config.temperature <= 0.0:
        raise UserError(f"temperature must be above 0, found {config.temperature}")


def make(config: Config, env: Environment, score: Score) -> Learner:
    """Bind SAC to an environment and to the form of a reward."""
    check(config)
    spec = env.spec
    batches = drawing.source(config, spec, score)
    unit = soft.target_entropy(spec, 1.0)  # of the config's target, in nats
    aim = soft.target_entropy(spec, config.target_entropy) / unit
    module = actor_critic.make(config.network, spec)
    family = module.family
    critics = Critics(
        spec,
        config.network.hidden,
        config.network.activation,
        absorbing=config.absorbing != "analytic",
    )
    networks = soft.Networks(module, critics)
    if family.has_log_std and config.network.distribution not in ("squashed", "tanh_gaussian"):
        raise UserError(
            "sac needs actions that vary smoothly up to their bounds: expected distribution "
            f"squashed, found {config.network.distribution}."
        )
    stochastic = policies.make(config.network, module)
    greedy = policies.make(config.network, module, deterministic=True)
    pay = functools.partial(scoring.pay, score, scaled=config.normalise_rewards)

    def observe(state: State, obs: Array) -> Array:
        return policies.observe(config.network, state.obs_moments, obs)

    def collect(state: State, key: Key) -> tuple[episodes.State, Transition]:
        """A rollout `[T, B]`, with its log-probabilities."""

        def actor(obs: Array, key: Key, memory: PyTree) -> tuple[PyTree, Array, PyTree]:
            outputs = apply(module, state.weights.actor, observe(state, obs), method="actor")
            latent = family.sample(outputs, key)
            return (latent, family.log_prob(outputs, latent)), family.apply(latent), memory

        worlds, _, transitions, (_, log_prob) = rollout.collect(
            env,
            actor,
            key,
            state.episodes,
            (),
            state.physics,
            config.num_steps,
            num_starts=config.num_starts,
        )
        return worlds, dataclasses.replace(transitions, log_prob=log_prob)

    def draw(state: State, reward_params: PyTree, key: Key) -> soft.Batch:
        """Batches `[updates, N]`, and what their rows are worth."""
        return batches.draw(
            key,
            state.store,
            state.rounds,
            state.scoring,
            reward_params,
            networks,
            state.weights.actor,
            functools.partial(observe, state),
        )

    def init(key: Key, physics: PyTree = None, policy: PyTree = None) -> State:
        physics = jax.tree.map(jnp.asarray, env.params if physics is None else physics)
        key_network, key_worlds, key = jax.random.split(key, 3)
        given = policy or {"network": None, "obs_moments": normalise.init(spec.obs_shape)}
        return State(
            weights=networks.init(key_network, config.temperature, given["network"]),
            obs_moments=given["obs_moments"],
            store=batches.init(),
            episodes=episodes.init(env, key_worlds, physics, config.num_envs),
            scoring=scoring.init(score, config.num_envs),
            rounds=mixing.init(),
            physics=physics,
            hyper=traced(Hyper, dataclasses.replace(config, target_entropy=aim)),
            iteration=jnp.zeros((), jnp.int32),
            key=key,
        )

    def step(state: State, reward_params: PyTree) -> tuple[State, Transition, Metrics]:
        key_rollout, key_rows, key_update, key = jax.random.split(state.key, 4)
        worlds, transitions = collect(state, key_rollout)
        accounts, paid, metrics = pay(
            reward_params,
            state.scoring,
            transitions,
            worlds.has_completed,
            discount=state.hyper.discount,
        )
        rounds = mixing.count(state.rounds, transitions, batches.mixture.length)
        moments = state.obs_moments
        if config.network.normalise_observations:
            moments = normalise.update(moments, transitions.obs)
        state = dataclasses.replace(
            state,
            obs_moments=moments,
            store=batches.write(state.store, transitions, paid, rounds),
            episodes=worlds,
            scoring=accounts,
            rounds=rounds,
            iteration=state.iteration + 1,
            key=key,
        )
        first, last = state.hyper.learning_rate, state.hyper.final_learning_rate
        rate = schedules.annealed(first, last, config.anneal_iterations, state.iteration - 1)
        # Steps of size zero rather than a conditional, which would be a copy under `vmap`.
        rate = jnp.where(state.store.ring.count >= config.warmup, rate, 0.0)

        def advance(weights: soft.Weights, inputs: tuple[soft.Batch, Key]) -> Any:
            return soft.update(
                weights,
                *inputs,
                networks,
                rate=rate,
                discount=state.hyper.discount,
                retention=state.hyper.retention,
                target_entropy=unit * state.hyper.target_entropy
                if config.learn_temperature
                else None,
                cloning_weight=state.hyper.cloning_weight,
            )

        drawn = draw(state, reward_params, key_rows)
        keys = jax.random.split(key_update, batches.num)
        weights, learned = jax.lax.scan(advance, state.weights, (drawn, keys))
        metrics |= jax.tree.map(jnp.mean, learned) | episodes.statistics(worlds)
        metrics["learner/learning_rate"] = rate
        return dataclasses.replace(state, weights=weights), transitions, metrics

    def policy(state: State, *, deterministic: bool = False) -> Policy:
        params = {"network": state.weights.actor, "obs_moments": state.obs_moments}
        return dataclasses.replace(greedy if deterministic else stochastic, params=params)

    def reset_policy(key: Key, state: State) -> State:
        start = jnp.zeros_like(state.iteration)
        weights = networks.init(key, config.temperature)
        return dataclasses.replace(state, weights=weights, iteration=start)

    return Learner(
        init=init,
        step=step,
        policy=policy,
        reset_policy=reset_policy,
        steps_per_iteration=batches.mixture.rollout,
        parts=episodes.parts(env.spec, config.num_envs),
    )
