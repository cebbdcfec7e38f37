"""Rewards that have nothing to learn; their parameters are `()`."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from evil.rewards import memoryless
from evil.seams import PyTree, Score, Transition


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
