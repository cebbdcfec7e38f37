"""Soft actor-critic, for discrete and continuous actions alike.

    y = r + γ (1 - terminated) V̄(s'),    V(s) = E_π min_j Q_j(s, a) + α H(π(.|s))
    critics  min Σ_j E (Q_j(s, a) - y)²        actor  max E V(s)        α  until H meets its target

V̄ is of slowly following critics. One `step` is a short rollout in many environments, its rows'
entry into the replay, and so many updates on batches of the replay.

What a row is worth can be decided twice. With `scoring="sampled"` the score is asked whenever a
batch is drawn: the whole replay is worth what the present parameters say, however old it is. With
`"collected"` it is asked once, along the rollout, and its answer is stored: the only way for
rewards with episode memory, and cheaper where the reward is frozen.

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
from evil.errors import UserError, at_least, unknown
from evil.learners import minibatches, mixing, policies, replay, rollout, scoring, soft
from evil.networks import actor_critic
from evil.networks.critics import Critics
from evil.networks.mlp import apply
from evil.pytrees import merge_leading, pytree, traced
from evil.seams import Environment, Key, Learner, Metrics, Policy, PyTree, Score, Transition

SCORINGS = ("auto", "sampled", "collected")


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


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each: an outer loop may `vmap` over them."""

    learning_rate: Array
    final_learning_rate: Array
    discount: Array
    retention: Array
    target_entropy: Array  # in the units of the config


@pytree
class Row:
    """What the replay holds of a step."""

    transition: Transition
    reward: Array | None  # as paid when it was collected, where that is what counts
    round: Array  # int32: in which it was collected


@pytree
class State:
    """Everything that SAC carries from one iteration to the next."""

    weights: soft.Weights
    obs_moments: normalise.Moments
    replay: replay.Ring
    episodes: episodes.State
    scoring: scoring.State
    rounds: mixing.Rounds
    physics: PyTree  # environment parameters: data, so that worlds may differ between lanes
    hyper: Hyper
    iteration: Array  # [] int32
    key: Key


def make(config: Config, env: Environment, score: Score) -> Learner:
    """Bind SAC to an environment and to the form of a reward."""
    counts = ("num_envs", "num_steps", "batch_size", "capacity", "num_starts")
    at_least(1, **{name: getattr(config, name) for name in counts})
    at_least(0, warmup=config.warmup)
    if config.scoring not in SCORINGS:
        raise unknown("scoring", config.scoring, SCORINGS)
    if config.temperature <= 0.0:
        raise UserError(f"temperature must be above 0, found {config.temperature}")
    spec, size = env.spec, config.num_envs * config.num_steps
    updates = minibatches.updates_per_rollout(size, config.update_ratio)
    capacity = -(-config.capacity // size) * size
    length = mixing.per_round(config.round_length, size)
    unit = soft.target_entropy(spec, 1.0)  # of the config's target, in nats
    aim = soft.target_entropy(spec, config.target_entropy) / unit
    module = actor_critic.make(config.network, spec)
    family = module.family
    critics = Critics(spec, config.network.hidden, config.network.activation)
    networks = soft.Networks(module, critics)
    if family.has_log_std and config.network.distribution not in ("squashed", "tanh_gaussian"):
        raise UserError(
            "sac needs actions that vary smoothly up to their bounds: expected distribution "
            f"squashed, found {config.network.distribution}."
        )
    is_stored = scoring.has_memory(score) or config.scoring == "collected"
    if is_stored and config.scoring == "sampled":
        raise UserError("a reward with episode memory needs scoring collected, found sampled.")
    scoring.check(score, config.expert_share, stored=is_stored)
    stochastic = policies.make(config.network, module)
    greedy = policies.make(config.network, module, deterministic=True)
    mix = functools.partial(
        mixing.mix, length=length, share=config.expert_share, alternate=config.alternate
    )
    pay = functools.partial(scoring.pay, score, scaled=config.normalise_rewards)
    pay_anew = functools.partial(scoring.pay_anew, score, scaled=config.normalise_rewards)

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

    def row_of(transitions: Transition, paid: Array, present: Array) -> Row:
        return Row(
            transition=dataclasses.replace(transitions, log_prob=None),
            reward=paid if is_stored else None,
            round=jnp.broadcast_to(present, paid.shape),
        )

    def draw(state: State, reward_params: PyTree, key: Key) -> soft.Batch:
        """Batches `[updates, N]` of the replay, and what their rows are worth."""
        key_own, key_expert = jax.random.split(key)
        rows = replay.sample(key_own, state.replay, updates * config.batch_size)
        rows = jax.tree.map(lambda x: x.reshape((updates, -1, *x.shape[1:])), rows)
        steps = mix(key_expert, score, reward_params, rows.transition, rows.round, state.rounds)
        obs = observe(state, steps.obs)
        outputs = apply(module, state.weights.actor, obs, method="actor")
        log_prob = family.log_prob(outputs, family.invert(steps.action))  # of the present policy
        steps = dataclasses.replace(steps, log_prob=log_prob)
        rewards = rows.reward if is_stored else pay_anew(reward_params, state.scoring, steps)
        return soft.Batch(
            obs=obs,
            action=steps.action,
            next_obs=observe(state, steps.next_obs),
            terminated=steps.terminated,
            reward=rewards,
        )

    def init(key: Key, physics: PyTree = None) -> State:
        physics = jax.tree.map(jnp.asarray, env.params if physics is None else physics)
        key_network, key_worlds, key = jax.random.split(key, 3)
        return State(
            weights=networks.init(key_network, config.temperature),
            obs_moments=normalise.init(spec.obs_shape),
            replay=replay.init(
                row_of(rollout.blank(spec), jnp.zeros(()), jnp.zeros((), jnp.int32)), capacity
            ),
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
        rounds = mixing.count(state.rounds, transitions, length)
        rows = row_of(transitions, paid, mixing.present(rounds, length))
        moments = state.obs_moments
        if config.network.normalise_observations:
            moments = normalise.update(moments, transitions.obs)
        state = dataclasses.replace(
            state,
            obs_moments=moments,
            replay=replay.write(state.replay, merge_leading(rows)),
            episodes=worlds,
            scoring=accounts,
            rounds=rounds,
            iteration=state.iteration + 1,
            key=key,
        )
        first, last = state.hyper.learning_rate, state.hyper.final_learning_rate
        rate = schedules.annealed(first, last, config.anneal_iterations, state.iteration - 1)
        # Steps of size zero rather than a conditional, which would be a copy under `vmap`.
        rate = jnp.where(state.replay.count >= config.warmup, rate, 0.0)

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
            )

        batches = draw(state, reward_params, key_rows)
        keys = jax.random.split(key_update, updates)
        weights, learned = jax.lax.scan(advance, state.weights, (batches, keys))
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
        steps_per_iteration=size,
    )
