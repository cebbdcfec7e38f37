"""Maximum entropy inverse reinforcement learning: of all distributions over paths, the most random.

    P(path) ∝ exp(Σ_t r(s_t, a_t)) Π_t p(s_{t+1}|s_t, a_t),    J(r) = E log Z(s_0)

`paths="episodes"` counts the paths of episodes, at most as long as the time limit and over when
they end, by a partition function in log space for every step. `"fixed_length"` is the algorithm as
published: a stationary policy from paths of one length that need only end at the goal, and visits
counted over another. There J is no function whose gradient could be taken; the published
difference of counts takes the gradient's place, and the loss that is reported means nothing.

Reference: ziebart2008maxent
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import UserError, at_least, unknown
from evil.seams import Algorithm, PyTree
from evil.tabular import fitting, paths, rewards, trajectories
from evil.tabular.fitting import Task
from evil.tabular.mdp import MDP
from evil.tabular.worlds import World

PATHS = ("episodes", "fixed_length")


@dataclasses.dataclass(frozen=True)
class Config:
    """Maximum entropy."""

    fit: fitting.Config = fitting.Config(reward=rewards.Config(level=-math.log(4.0)))
    """The reward and how it is fitted; the discount must be 1. A level of -log A outweighs that
    there are A times as many paths with every step, which would else never end."""
    paths: Literal["episodes", "fixed_length"] = "episodes"
    """Which paths are counted: those of episodes, or, as published, those of one length."""
    path_length: int = 100
    """Steps of the paths of one length."""
    visit_length: int = 70
    """States of the visits that are compared with theirs."""


def make(config: Config, world: World, reward: rewards.Reward | None = None) -> Algorithm:
    """Bind the method to a world; `data` of the algorithm is a `fitting.Task`."""
    at_least(1, path_length=config.path_length, visit_length=config.visit_length)
    if config.paths not in PATHS:
        raise unknown("kind of paths", config.paths, PATHS)
    if config.fit.discount != 1.0:
        raise UserError(
            f"maximum entropy weighs whole paths: expected discount 1, found {config.fit.discount}."
        )
    if config.paths == "fixed_length":
        _check_published(config, world)
        return fitting.make(config.fit, world, _published(config), reward)

    def potential(mdp: MDP, table: Array, samples: PyTree, discount: Array) -> Array:
        del samples, discount
        return paths.log_partition(mdp, table, world.horizon)

    method = fitting.Method(
        observe=fitting.visits,
        draw=fitting.nothing,
        potential=potential,
        policy=lambda mdp, table, discount: paths.policy(mdp, table, world.horizon),
        horizon=world.horizon,
    )
    return fitting.make(config.fit, world, method, reward)


def _published(config: Config) -> fitting.Method:
    def observe(task: Task, discount: Array) -> dict[str, Array]:
        """Visit counts with the state in which each episode stopped, as published."""
        counts = trajectories.visits(task.demos, task.mdp, discount=discount)
        last = trajectories.final_states(task.demos, task.mdp.num_states)
        return {"visits": counts + last[:, None] / task.mdp.num_actions}

    def policy(mdp: MDP, table: Array, discount: Array) -> Array:
        del discount
        return paths.fixed_length_policy(mdp, table, config.path_length)

    def potential(mdp: MDP, table: Array, samples: PyTree, discount: Array) -> Array:
        del samples
        found = policy(mdp, jax.lax.stop_gradient(table), discount)
        return jnp.sum(table * paths.fixed_length_visits(mdp, found, config.visit_length))

    return fitting.Method(observe, fitting.nothing, potential, policy, horizon=None)


def _check_published(config: Config, world: World) -> None:
    if not bool(world.mdp.end.any()):
        raise UserError("paths of fixed length must end somewhere: this world has no end state.")
    if config.fit.optimiser.name == "lbfgs":
        raise UserError("paths of fixed length have no loss that L-BFGS could search: choose sgd.")
