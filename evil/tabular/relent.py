"""Relative entropy inverse reinforcement learning, which needs no model of the world.

    min_P KL(P || Q)  s.t.  |E_P f_i - f̂_i| <= ε_i,      Q(τ) = D(τ) U(τ)
    J(r) = log E_π [U(τ)/π(τ) exp R(τ)],    R(τ) = Σ_t γ^t r(s_t, a_t)

D are the unknown dynamics, U a baseline policy, π the policy that explores; D cancels. Importance
weights are summed in log space. By default U is the expert's table of actions, uniform where the
expert never was, and π plays uniformly whatever U might: so as published. What has reached the end
stays there, and being there counts, else nothing would speak for arriving.

The reward is what the expert's visits have and exploration lacks; the policy is planned on it, and
only this uses the dynamics.

Reference: boularias2011relent
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax.numpy as jnp
from jax import Array

from evil.errors import UserError, at_least, unknown
from evil.seams import Algorithm, Key, PyTree
from evil.tabular import fitting, optimisers, planning, rewards, trajectories
from evil.tabular.dynamics import log_sum_exp
from evil.tabular.fitting import State, Task
from evil.tabular.mdp import MDP
from evil.tabular.worlds import World

PLAYERS = ("expert", "seen", "uniform")


@dataclasses.dataclass(frozen=True)
class Config:
    """Relative entropy."""

    fit: fitting.Config = fitting.Config(
        reward=rewards.Config(inputs="state"),
        optimiser=optimisers.Config(name="sgd"),
        learning_rate=0.05,
        discount=0.99,
    )
    """The reward and how it is fitted; steps that are alike for all states forget how much more the
    expert is at the goal than anywhere else, so it is SGD that fits."""
    num_episodes: int = 256
    """Episodes explored for each update."""
    horizon: int = 0
    """Steps of each; 0: the world's time limit."""
    baseline: Literal["expert", "seen", "uniform"] = "expert"
    """Policy U: the expert's actions by frequency, uniform over those it took, or over all."""
    exploration: Literal["expert", "seen", "uniform"] = "seen"
    """Policy π that explores, likewise."""
    confidence: float = 1e-4
    """δ of the bound ε on visit counts; 0: they are to be met exactly."""
    temperature: float = 1.0
    """Temperature of the policy that is planned on the reward; 0: the best action."""


def tolerance(
    num_episodes: int, horizon: int, discount: float, confidence: float, spread: float = 1.0
) -> float:
    """ε by Hoeffding's bound, for a feature that varies by `spread` per step.

    sqrt(-log(1 - δ) / 2N) · Σ_{t<=H} γ^t · spread
    """
    bound = math.sqrt(-math.log1p(-confidence) / (2 * num_episodes))
    return bound * sum(discount**step for step in range(horizon + 1)) * spread


def player(kind: str, table: Array) -> Array:
    """A policy `[S, A]` by its name, given the expert's frequencies of actions."""
    if kind == "expert":
        return table
    taken = (table > 0.0) if kind == "seen" else jnp.ones_like(table, bool)
    return taken / taken.sum(axis=-1, keepdims=True)


def log_ratio(baseline: Array, exploration: Array, states: Array, actions: Array) -> Array:
    """log U(τ)/π(τ) `[N]` of episodes `[N, H]`; -inf where the baseline would never go."""
    ratio = jnp.log(baseline) - jnp.log(jnp.where(exploration > 0.0, exploration, 1.0))
    return ratio[states, actions].sum(axis=-1)


def log_mean_weight(
    table: Array, states: Array, actions: Array, ratio: Array, discount: Array | float
) -> Array:
    """J `[]`: log 1/N Σ_τ exp(log U/π + R(τ)) over explored episodes `[N, H]`."""
    paid = table[states, actions] * (discount ** jnp.arange(states.shape[1]))[None]
    return log_sum_exp(ratio + paid.sum(axis=-1)) - math.log(states.shape[0])


def make(config: Config, world: World, reward: rewards.Reward | None = None) -> Algorithm:
    """Bind the method to a world; `data` of the algorithm is a `fitting.Task`."""
    _check(config)
    horizon = config.horizon or world.horizon
    discount = config.fit.discount

    def observe(task: Task, discount: Array) -> dict[str, Array]:
        counts = trajectories.visits(task.demos, task.mdp, discount=discount, remains=horizon)
        table, _ = trajectories.action_table(trajectories.visits(task.demos, task.mdp))
        return {"visits": counts, "table": table}

    def draw(key: Key, state: State) -> tuple[Array, Array, Array]:
        table = state.expert["table"]
        baseline, exploration = (player(x, table) for x in (config.baseline, config.exploration))
        found = trajectories.rollout(key, state.mdp, exploration, horizon, config.num_episodes)
        states, actions = found.states[:, :-1], found.actions
        return states, actions, log_ratio(baseline, exploration, states, actions)

    def potential(mdp: MDP, table: Array, samples: PyTree, discount: Array) -> Array:
        del mdp
        return log_mean_weight(table, *samples, discount)

    def policy(mdp: MDP, table: Array, discount: Array) -> Array:
        return planning.finite(
            mdp,
            table,
            world.horizon,
            discount=discount,
            temperature=config.temperature,
            terminal="rewarded",
        ).policy

    exact = config.confidence == 0.0
    method = fitting.Method(
        observe=observe,
        draw=draw,
        potential=potential,
        policy=policy,
        horizon=world.horizon,
        tolerance=0.0
        if exact
        else tolerance(config.num_episodes, horizon, discount, config.confidence),
        steps_per_update=config.num_episodes * horizon,
    )
    return fitting.make(config.fit, world, method, reward)


def _check(config: Config) -> None:
    at_least(1, num_episodes=config.num_episodes)
    at_least(0, horizon=config.horizon, temperature=config.temperature)
    for what in ("baseline", "exploration"):
        if getattr(config, what) not in PLAYERS:
            raise unknown(what, getattr(config, what), PLAYERS)
    if PLAYERS.index(config.exploration) < PLAYERS.index(config.baseline):
        raise UserError(
            f"exploration {config.exploration!r} never takes some actions of the baseline "
            f"{config.baseline!r}: expected one that is as wide."
        )
    if not 0.0 <= config.confidence < 1.0:
        raise UserError(f"confidence must be 0 or more and below 1, found {config.confidence:g}.")
    if config.fit.optimiser.name == "lbfgs":
        raise UserError("L-BFGS needs a loss that is the same at every step: choose sgd or adam.")
    planning.check(1, config.fit.discount, "rewarded")
