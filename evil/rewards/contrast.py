"""How well a reward tells the expert from the agent."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from evil.pytrees import T
from evil.seams import Key, Metrics, Transition


def metrics(agent: Array, expert: Array) -> Metrics:
    """Mean rewards of agent and expert `[N]`, their gap, and `auc`.

    That is the probability that the expert's reward is the higher one of a pair, ties counting
    half: 0.5 says that the reward has learned nothing, whatever its scale.
    """
    difference = expert[:, None] - agent[None, :]
    agent_mean, expert_mean = agent.mean(), expert.mean()
    return {
        "reward/gap": expert_mean - agent_mean,
        "reward/expert_mean": expert_mean,
        "reward/agent_mean": agent_mean,
        "reward/auc": 0.5 + 0.5 * jnp.sign(difference).mean(),
    }


def measuring(
    paid: Callable[[T, Transition], Array],
) -> Callable[[Key, T, Transition, Transition], tuple[T, Metrics]]:
    """The `update` of a reward that is fitted once: the state stays, its `paid` is measured."""

    def update(key: Key, state: T, agent: Transition, expert: Transition) -> tuple[T, Metrics]:
        del key
        return state, metrics(paid(state, agent), paid(state, expert))

    return update
