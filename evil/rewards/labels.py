"""Rewards that are labels of where a row comes from, for learners that mix in the expert's rows.

                          expert            agent, earlier rounds        agent, present round
    sqil                  1                 0                            0
    adril                 1 / |ξ_expert|    -1 / |ξ_agent|               0

|ξ| are numbers of episodes; the agent's are those that had ended when the present round began.
Nothing is fitted: what has an effect is the mixture that the learner draws.

Reference: reddy2020sqil, swamy2021moments
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jax import Array

from evil.demonstrations.demonstrations import Demonstrations
from evil.errors import at_least, unknown
from evil.pytrees import pytree
from evil.seams import Environment, Key, Metrics, PyTree, RewardModel, Score, Transition

KINDS = ("sqil", "adril")


@dataclasses.dataclass(frozen=True)
class Config:
    """Labels of origin."""

    kind: Literal["sqil", "adril"] = "sqil"
    """Which labels."""
    batch_size: int = 1
    """Rows of either side in one update, which does nothing."""


@pytree
class State:
    """How many episodes the demonstrations have."""

    episodes: Array  # [] float32


def sqil(is_expert: Array) -> Array:
    """1 for the expert's rows, 0 for the agent's."""
    return is_expert.astype(jnp.float32)


def adril(is_expert: Array, is_old: Array, expert_episodes: Array, agent_episodes: Array) -> Array:
    """Balanced labels: those of expert and of earlier agents each add up to one per episode."""
    old = jnp.where(is_old, -1.0 / jnp.maximum(agent_episodes, 1), 0.0)
    return jnp.where(is_expert, 1.0 / expert_episodes, old)


def in_use(demos: Demonstrations) -> Array:
    """How many episodes have a row that may be learned from."""
    valid = (jnp.arange(demos.rows.shape[0]) < demos.count).astype(jnp.int32)
    episode = demos.rows // demos.reward.shape[1]
    found = jnp.zeros(demos.length.shape[0], jnp.int32).at[episode].add(valid)
    return jnp.sum(found > 0).astype(jnp.float32)


def make(config: Config, env: Environment) -> RewardModel:
    """Labels have no regard for the environment."""
    del env
    at_least(1, batch_size=config.batch_size)
    if config.kind not in KINDS:
        raise unknown("kind of labels", config.kind, KINDS)

    def apply(params: PyTree, memory: PyTree, rows: Transition) -> tuple[Array, PyTree]:
        origin = rows.origin
        if origin is None:  # whoever does not say: the agent, at present
            return jnp.zeros_like(rows.reward), memory
        if config.kind == "sqil":
            return sqil(origin.is_expert), memory
        labels = adril(origin.is_expert, origin.is_old, params["episodes"], origin.episodes)
        return labels, memory

    def update(
        key: Key, state: State, agent: Transition, expert: Transition
    ) -> tuple[State, Metrics]:
        del key, agent, expert
        return state, {"reward/episodes": state.episodes}

    return RewardModel(
        init=lambda key, demos: State(episodes=in_use(demos)),
        params=lambda state: {"episodes": state.episodes},
        score=Score(apply=apply, reads_origin=True, pays_absorbing=True),
        update=update,
        batch_size=config.batch_size,
    )
