"""Rewards made of rewards."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from evil.seams import PyTree, Score, Transition


def weighted(*scores: Score) -> Score:
    """The weighted sum Σ w_i r_i of several rewards.

    Its parameters are `{"weights": [n], "parts": (params_1, ..., params_n)}`. As the weights are
    data, learners on different rewards can share one compiled program, one per lane. A reward
    with weight zero does not count even where it is not finite.
    """

    def apply(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        total, memories = jnp.zeros_like(transitions.reward), []
        parts = zip(scores, params["parts"], memory, strict=True)
        for index, (score, part, part_memory) in enumerate(parts):
            rewards, part_memory = score.apply(part, part_memory, transitions)
            weight = params["weights"][index]
            total = total + jnp.where(weight == 0.0, 0.0, weight * rewards)
            memories.append(part_memory)
        return total, tuple(memories)

    return Score(apply=apply, memory=lambda batch: tuple(score.memory(batch) for score in scores))
