"""Inverse reinforcement learning as a game between a policy and a reward.

    min_π max_f  E_expert f - E_π f

Each `step` improves the policy on the present reward once and then the reward several times
against the demonstrations. With `history="current"` the reward answers the current policy (IRL);
with `history="all"` it answers the mixture of all policies so far, which with an ensemble, input
statistics frozen to the expert's and optional policy resets is IRL++ as published.

A frozen reward has to teach policies from scratch, so it may be fitted to beginners as well: of a
population that learns side by side on the same reward, all but the first policy start afresh at
intervals, and the history holds what every one of them tried.

Reference: sapora2024evil, swamy2021moments
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil import parallel, registry
from evil.demonstrations.demonstrations import Demonstrations, actions_for, sample
from evil.errors import UserError, at_least, fields_are_fractions, unknown
from evil.imitation import pretraining
from evil.learners import choice, ppo, replay, scoring
from evil.learners.rollout import blank
from evil.pytrees import merge_leading, pytree, select, take
from evil.rewards import choice as rewards
from evil.rewards import combine, ensemble
from evil.seams import (
    Algorithm,
    Environment,
    Key,
    Learner,
    Metrics,
    Policy,
    PyTree,
    RewardModel,
    Transition,
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Inverse reinforcement learning."""

    learner: choice.AnyConfig = ppo.Config()
    """Improves the policy on the present reward."""
    reward: rewards.AnyConfig = ensemble.Config()
    """Tells the expert from the agent; an ensemble of one is a single reward model."""
    updates_per_iteration: int = 10
    """Reward updates after each policy update."""
    update_interval: int = 1
    """Iterations between two times at which the reward is updated."""
    history: Literal["all", "current"] = "all"
    """Whose data the reward is fitted against: every policy's so far, or the current one's."""
    rows_per_iteration: int = 512
    """Transitions of each iteration, from the whole population's rollouts, that enter a history of
    all policies."""
    capacity: int = 153_600
    """Rows that a history of all policies holds before it overwrites the oldest."""
    recency: float = 0.0
    """How much likelier recent rows of the history are drawn: see `evil.learners.replay`."""
    stratified: bool = False
    """Whether every batch draws evenly from all ages of the history."""
    reset_probability: float = 0.0
    """Probability p of replacing the policy by a fresh one, at the first iteration."""
    reset_schedule: Literal["linear", "harmonic"] = "linear"
    """p falls as 1 - i/reset_iterations, or as 1/(i+1); never below a hundredth of its start."""
    reset_iterations: int = 300
    """Iterations over which a linear reset schedule falls."""
    population: int = 1
    """Policies that learn side by side on the same reward, each with the whole learner."""
    rejuvenation: int = 0
    """Iterations after which every policy but the first starts afresh, in turn; 0 for never."""
    pretraining: pretraining.Config = pretraining.Config()
    """How the first policies of the population are cloned before the game; those that start afresh
    later are not."""

    @property
    def reads_expert(self) -> bool:
        """Whether policies learn from the demonstrations, besides what they are paid."""
        return getattr(self.learner, "reads_expert", False) or self.pretraining.updates > 0


@pytree
class State:
    """The game between iterations."""

    learner: PyTree  # [P, ...] of the population; the first is the one that is wanted
    reward: PyTree
    history: replay.Ring
    worth: Array | None  # [E, T] of the demonstrated steps, where rewards have episode memory
    iteration: Array  # [] int32
    key: Key


def reset_probability(config: Config, iteration: Array) -> Array:
    """Probability of a fresh policy at an iteration."""
    if config.reset_schedule == "linear":
        fraction = jnp.maximum(1.0 - iteration / config.reset_iterations, 0.0)
    else:
        fraction = 1.0 / (iteration + 1.0)
    return config.reset_probability * jnp.maximum(fraction, 0.01)


def improve_reward(
    key: Key,
    reward: RewardModel,
    state: PyTree,
    ring: replay.Ring,
    demos: Demonstrations,
    num_updates: int,
    policy: Policy | None = None,
    **sampling: Any,
) -> tuple[PyTree, Metrics]:
    """Updates of the reward on fresh batches; diagnostics are means over them.

    `sampling` is how `replay.sample` draws the agent's rows. Rewards that ask how likely an action
    is are told for `policy`, whoever took it. Without demonstrations there is nothing to update.
    """
    if not len(demos.length):
        return state, {}

    def judged(rows: Transition) -> Transition:
        if policy is None or policy.log_prob is None or rows.action is None:
            return rows
        return dataclasses.replace(rows, log_prob=policy.log_prob(policy.params, rows))

    def advance(state: PyTree, key: Key) -> tuple[PyTree, Metrics]:
        key_agent, key_expert, key_update = jax.random.split(key, 3)
        agent = replay.sample(key_agent, ring, reward.batch_size, **sampling)
        expert = sample(key_expert, demos, reward.batch_size)
        return reward.update(key_update, state, judged(agent), judged(expert))

    state, metrics = jax.lax.scan(advance, state, jax.random.split(key, num_updates))
    return state, jax.tree.map(jnp.mean, metrics)


def is_fresh(config: Config, iteration: Array, key: Key) -> Array:
    """Which policies of the population start afresh at an iteration: `[P]` bool.

    All do so by chance, each for itself; all but the first at equal intervals, too, in turn.
    """
    by_chance = jax.random.bernoulli(
        key, reset_probability(config, iteration), (config.population,)
    )
    if not config.rejuvenation:
        return by_chance
    member = jnp.arange(config.population)
    offset = (member - 1) * config.rejuvenation // max(config.population - 1, 1)
    in_turn = (member > 0) & ((iteration + offset) % config.rejuvenation == 0)
    return by_chance | (in_turn & (iteration > 0))


def maybe_reset(config: Config, learner: Learner, state: PyTree, iteration: Array, key: Key):
    """The population's states `[P, ...]`, with fresh policies where it is time for them."""
    if config.reset_probability == 0.0 and (config.rejuvenation == 0 or config.population == 1):
        return state
    key_coin, key_policy = jax.random.split(key)
    fresh = is_fresh(config, iteration, key_coin)
    keys = jax.random.split(key_policy, config.population)
    return jax.lax.cond(
        fresh.any(),
        lambda: select(fresh, jax.vmap(learner.reset_policy)(keys, state), state),
        lambda: state,
    )


def make(config: Config, env: Environment) -> Algorithm:
    """Compose a learner and a reward model; `data` of the algorithm is `Demonstrations`."""
    at_least(
        1,
        updates_per_iteration=config.updates_per_iteration,
        update_interval=config.update_interval,
        rows_per_iteration=config.rows_per_iteration,
        capacity=config.capacity,
        reset_iterations=config.reset_iterations,
        population=config.population,
    )
    at_least(0, rejuvenation=config.rejuvenation, recency=config.recency)
    fields_are_fractions(config, "reset_probability")
    for kind, name, known in (
        ("history", config.history, ("all", "current")),
        ("reset schedule", config.reset_schedule, ("linear", "harmonic")),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    pretraining.check(config.pretraining)
    reward: RewardModel = registry.make(config.reward, env)
    has_expert = getattr(config.learner, "reads_expert", False)
    score = combine.with_expert(reward.score) if has_expert else reward.score
    learner: Learner = registry.make(config.learner, env, score)
    collected = config.population * learner.steps_per_iteration
    rows = min(config.rows_per_iteration, collected)
    if config.history == "current":
        rows = capacity = collected
    else:
        capacity = config.capacity
    if capacity % rows:
        raise UserError(
            f"the history's capacity of {capacity} is no multiple of the {rows} rows that each "
            "iteration writes to it"
        )

    def parameters(state: PyTree, worth: Array | None, demos: Demonstrations) -> PyTree:
        params = reward.params(state)
        if worth is not None:
            demos = dataclasses.replace(demos, reward=worth)
        return {"reward": params, "expert": demos} if has_expert else params

    improve = parallel.shared_vmap(learner.step, (0, None), "members")

    def begin(key: Key, demos: Demonstrations) -> PyTree:
        """A policy's first state."""
        state = learner.init(key)
        if not config.pretraining.updates:
            return state
        key_fit = jax.random.fold_in(key, 1)
        clone = pretraining.fit(key_fit, config.pretraining, learner.policy(state), demos)
        return learner.init(key, policy=clone)

    def init(key: Key, demos: Demonstrations) -> State:
        if has_expert:
            actions_for(demos, "a learner that learns from the expert's rows")
        key_learner, key_reward, key = jax.random.split(key, 3)
        keys = jax.random.split(key_learner, config.population)
        learner_state = jax.vmap(begin, (0, None))(keys, demos)
        reward_state = reward.init(key_reward, demos)
        worth = None
        if has_expert and scoring.has_memory(reward.score):
            worth = combine.along(reward.score, reward.params(reward_state), demos)
        return State(
            learner=learner_state,
            reward=reward_state,
            history=replay.init(blank(env.spec), capacity),
            worth=worth,
            iteration=jnp.zeros((), jnp.int32),
            key=key,
        )

    def step(state: State, demos: Demonstrations) -> tuple[State, Metrics]:
        key_rows, key_reward, key_reset, key = jax.random.split(state.key, 4)
        learner_state = maybe_reset(config, learner, state.learner, state.iteration, key_reset)
        params = parameters(state.reward, state.worth, demos)
        learner_state, rollout, metrics = improve(learner_state, params)

        flat = merge_leading(dataclasses.replace(rollout, log_prob=None), 3)
        if rows < collected:
            flat = take(flat, jax.random.choice(key_rows, collected, (rows,), replace=False))
        ring = replay.write(state.history, flat)
        reward_state, reward_metrics = improve_reward(
            key_reward,
            reward,
            state.reward,
            ring,
            demos,
            config.updates_per_iteration,
            learner.policy(jax.tree.map(lambda x: x[0], learner_state)),
            recency=config.recency,
            stratified=config.stratified,
        )
        if config.update_interval > 1:
            # A conditional would do both under `vmap`, too: what is saved is the reward's steps.
            is_due = (state.iteration + 1) % config.update_interval == 0
            reward_state = select(is_due, reward_state, state.reward)
        state = State(
            learner=learner_state,
            reward=reward_state,
            history=ring,
            worth=state.worth,
            iteration=state.iteration + 1,
            key=key,
        )
        wanted = jax.tree.map(lambda x: x[0], metrics)
        return state, wanted | reward_metrics

    def policy(state: State, *, deterministic: bool = False) -> Policy:
        wanted = jax.tree.map(lambda x: x[0], state.learner)
        return learner.policy(wanted, deterministic=deterministic)

    return Algorithm(
        init=init,
        step=step,
        policy=policy,
        reward=lambda state: reward.params(state.reward),
        steps_per_iteration=collected,
        parts=dataclasses.replace(learner.parts, members=config.population),
    )
