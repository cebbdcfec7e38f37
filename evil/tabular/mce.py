"""Maximum causal entropy inverse reinforcement learning.

    J(r) = E V_0(s_0),    V the soft value of r

Its gradient is the occupancy of the soft-optimal policy, so the fit matches the expert's visit
counts by a policy that is as random as it can be; in a stochastic world, too, it is random only
where it has a choice. The loss is the expert's causal negative log-likelihood, up to a constant.

Reference: ziebart2010mce
"""

from __future__ import annotations

import dataclasses

from jax import Array

from evil.seams import Algorithm, PyTree
from evil.tabular import fitting, planning, rewards
from evil.tabular.mdp import MDP
from evil.tabular.worlds import World


@dataclasses.dataclass(frozen=True)
class Config:
    """Maximum causal entropy."""

    fit: fitting.Config = fitting.Config()
    """The reward and how it is fitted."""
    terminal: planning.Terminal = "absorb"
    """What follows an end: absorb, zero or continue, see `evil.tabular.planning`."""
    stationary: bool = False
    """Whether plans have no horizon, which needs a discount below 1."""


def make(config: Config, world: World, reward: rewards.Reward | None = None) -> Algorithm:
    """Bind the method to a world; `data` of the algorithm is a `fitting.Task`."""
    horizon = None if config.stationary else world.horizon
    planning.check(horizon, config.fit.discount, config.terminal)

    def potential(mdp: MDP, table: Array, samples: PyTree, discount: Array) -> Array:
        del samples
        return planning.soft_value(mdp, table, horizon, discount=discount, terminal=config.terminal)

    def policy(mdp: MDP, table: Array, discount: Array) -> Array:
        return planning.plan(
            mdp, table, horizon, discount=discount, terminal=config.terminal
        ).policy

    method = fitting.Method(
        observe=fitting.visits,
        draw=fitting.nothing,
        potential=potential,
        policy=policy,
        horizon=horizon,
    )
    return fitting.make(config.fit, world, method, reward)
