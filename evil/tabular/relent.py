"""Relative entropy inverse reinforcement learning, which needs no model of the world.

    min_P KL(P || Q)  s.t.  |E_P f_i - f̂_i| <= ε_i,      Q(τ) = D(τ) U(τ)
    J(r) = E_{s_0} log E_π [U(τ)/π(τ) exp R(τ) | s_0],    R(τ) = Σ_t γ^t r(s_t, a_t)

D are the unknown dynamics, U a baseline policy, π the policy that explores; D cancels. Importance
weights are summed in log space. Where the reward explains the expert, U exp R is the expert's
distribution of paths: weights are even if π plays like the expert, and wild if it wanders. So π
plays the expert's actions by their frequencies, and now and then a random one. U is uniform; with
the expert's own frequencies for U, as in some accounts, Q explains the expert already and the
reward has nothing left to say.

As published the mean over s_0 stands inside the logarithm, and the weights of a few episodes that
begin beside the goal drown all others; where episodes begin is not for the reward to explain.

The policy is planned on the reward afterwards, and only this uses the dynamics. What the weights
leave unknown above all is a constant per step, by which an episode would rather end or go on; and a
planner finds every circle that errors of the estimate make worth while. So it plans on the reward
less its largest value, where no step pays more than to have arrived.

Reference: boularias2011relent
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax.numpy as jnp
from jax import Array

from evil.errors import UserError, at_least, fields_are_fractions, unknown
from evil.seams import Algorithm, Key, PyTree
from evil.tabular import fitting, planning, rewards, trajectories
from evil.tabular.dynamics import log_sum_exp
from evil.tabular.fitting import State, Task
from evil.tabular.mdp import MDP
from evil.tabular.trajectories import Trajectories
from evil.tabular.worlds import World

PLAYERS = ("expert", "seen", "uniform")  # each takes at least the actions of the one before


@dataclasses.dataclass(frozen=True)
class Config:
    """Relative entropy."""

    fit: fitting.Config = fitting.Config(learning_rate=0.05)
    """The reward and how it is fitted."""
    num_episodes: int = 1024
    """Episodes explored for each update."""
    per_start: int = 16
    """Of these, how many begin in the same state and are weighed against each other."""
    horizon: int = 0
    """Steps of each at most; 0: the world's time limit."""
    baseline: Literal["expert", "seen", "uniform"] = "uniform"
    """Policy U: the expert's actions by frequency, uniform over those it took, or over all."""
    exploration: Literal["expert", "seen", "uniform"] = "expert"
    """Policy π that explores, likewise."""
    randomness: float = 0.02
    """Probability of a random action while exploring."""
    confidence: float = 0.0
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


def player(kind: str, table: Array, randomness: float = 0.0) -> Array:
    """A policy `[S, A]` by its name, given the expert's frequencies of actions."""
    if kind != "expert":
        taken = (table > 0.0) if kind == "seen" else jnp.ones_like(table, bool)
        table = taken / taken.sum(axis=-1, keepdims=True)
    return (1.0 - randomness) * table + randomness / table.shape[-1]


def log_ratio(baseline: Array, exploration: Array, explored: Trajectories) -> Array:
    """log U(τ)/π(τ) `[N]` of explored episodes; -inf where the baseline would never go."""
    ratio = jnp.log(baseline) - jnp.log(jnp.where(exploration > 0.0, exploration, 1.0))
    return jnp.sum(ratio[explored.states[:, :-1], explored.actions], axis=-1, where=_on(explored))


def log_mean_weight(
    table: Array,
    explored: Trajectories,
    ratio: Array,
    discount: Array | float,
    per_start: int,
) -> Array:
    """J `[]`: the mean over starts of log 1/K Σ_τ exp(log U/π + R(τ)) over K explored episodes."""
    weight = (discount ** jnp.arange(explored.actions.shape[1]))[None]
    paid = table[explored.states[:, :-1], explored.actions] * weight
    total = ratio + jnp.sum(paid, axis=-1, where=_on(explored))
    return log_sum_exp(total.reshape(-1, per_start)).mean() - math.log(per_start)


def make(config: Config, world: World, reward: rewards.Reward | None = None) -> Algorithm:
    """Bind the method to a world; `data` of the algorithm is a `fitting.Task`."""
    _check(config)
    horizon = config.horizon or world.horizon

    def observe(task: Task, discount: Array) -> dict[str, Array]:
        table = trajectories.action_table(trajectories.visits(task.demos, task.mdp))
        return fitting.visits(task, discount) | {"table": table}

    def draw(key: Key, state: State) -> tuple[Trajectories, Array]:
        table = state.expert["table"]
        baseline = player(config.baseline, table)
        exploration = player(config.exploration, table, config.randomness)
        explored = trajectories.rollout(
            key,
            fitting.begun(state),
            exploration,
            horizon,
            config.num_episodes,
            per_start=config.per_start,
        )
        return explored, log_ratio(baseline, exploration, explored)

    def potential(mdp: MDP, table: Array, samples: PyTree, discount: Array) -> Array:
        del mdp
        explored, ratio = samples
        return log_mean_weight(table, explored, ratio, discount, config.per_start)

    def policy(mdp: MDP, table: Array, discount: Array) -> Array:
        table = table - jnp.max(table)
        return planning.finite(
            mdp, table, world.horizon, discount=discount, temperature=config.temperature
        ).policy

    ε = tolerance(config.num_episodes, horizon, config.fit.discount, config.confidence)
    method = fitting.Method(
        observe=observe,
        draw=draw,
        potential=potential,
        policy=policy,
        horizon=world.horizon,
        tolerance=ε,
        steps_per_update=config.num_episodes * horizon,
    )
    return fitting.make(config.fit, world, method, reward)


def _on(explored: Trajectories) -> Array:
    """Which steps `[N, T]` happened before an episode's end."""
    return jnp.arange(explored.actions.shape[1])[None] < explored.length[:, None]


def _check(config: Config) -> None:
    at_least(1, num_episodes=config.num_episodes, per_start=config.per_start)
    if config.num_episodes % config.per_start:
        raise UserError(
            f"{config.num_episodes} episodes cannot begin {config.per_start} in each state: "
            "expected a multiple."
        )
    at_least(0, horizon=config.horizon, temperature=config.temperature)
    for what in ("baseline", "exploration"):
        if getattr(config, what) not in PLAYERS:
            raise unknown(what, getattr(config, what), PLAYERS)
    fields_are_fractions(config, "confidence", "randomness", of_less_than_all=True)
    narrower = PLAYERS.index(config.exploration) < PLAYERS.index(config.baseline)
    if narrower and config.randomness == 0.0:
        raise UserError(
            f"exploration {config.exploration!r} never takes some actions of the baseline "
            f"{config.baseline!r}: expected randomness above 0."
        )
    if config.fit.optimiser.name == "lbfgs":
        raise UserError("L-BFGS needs a loss that is the same at every step: choose sgd or adam.")
    planning.check(1, config.fit.discount, "absorb")
