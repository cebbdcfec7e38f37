"""How well a reward tells the expert from the agent."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from evil.seams import Metrics


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
