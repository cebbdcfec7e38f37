"""Rewards that have nothing to learn.

As scores their parameters are `()`. As the reward of a game that only reinforcement learning is
left of, they have a scale, for learners that heed the size of rewards.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jax import Array

from evil.errors import at_least, unknown
from evil.pytrees import pytree, traced
from evil.rewards import contrast, memoryless
from evil.seams import Environment, PyTree, RewardModel, Score, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """A reward that is known."""

    kind: Literal["real", "survival"] = "real"
    """The environment's own, or one per step."""
    scale: float = 1.0
    """What it is multiplied by. Traced."""
    batch_size: int = 256
    """Rows of either side in one update, which only measures."""


@pytree
class Hyper:
    """The traced hyper-parameters, `[]` each."""

    scale: Array


def real() -> Score:
    """The environment's own reward."""

    def reward(params: PyTree, transitions: Transition) -> Array:
        del params
        return transitions.reward

    return memoryless(reward)


def survival() -> Score:
    """One per step: what a learner gets out of merely not ending the episode."""

    def reward(params: PyTree, transitions: Transition) -> Array:
        del params
        return jnp.ones_like(transitions.reward)

    return memoryless(reward)


SCORES = {"real": real, "survival": survival}


def make(config: Config, env: Environment) -> RewardModel:
    """A known reward in the place of one that is learned; demonstrations are only measured."""
    del env
    at_least(1, batch_size=config.batch_size)
    if config.kind not in SCORES:
        raise unknown("known reward", config.kind, SCORES)
    score = SCORES[config.kind]()

    def paid(params: Hyper, transitions: Transition) -> Array:
        return params.scale * score.apply((), (), transitions)[0]

    return RewardModel(
        init=lambda key, demos: traced(Hyper, config),
        params=lambda state: state,
        score=memoryless(paid),
        update=contrast.measuring(paid),
        batch_size=config.batch_size,
    )
