"""Rewards made of rewards."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax import Array

from evil.demonstrations.demonstrations import Demonstrations, sample, transitions
from evil.seams import Key, PyTree, Score, Transition


def weighted(*scores: Score) -> Score:
    """The weighted sum Σ w_i r_i of several rewards.

    Its parameters are `{"weights": [n], "parts": (params_1, ..., params_n)}`. As the weights are
    data, learners on different rewards can share one compiled program, one per lane. A reward
    with weight zero does not count even where it is not finite. Of the absorbing state only those
    speak that have rewards for it.
    """

    def apply(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        total, memories = jnp.zeros_like(transitions.reward), []
        parts = zip(scores, params["parts"], memory, strict=True)
        for index, (score, part, part_memory) in enumerate(parts):
            rewards, part_memory = score.apply(part, part_memory, transitions)
            beyond = getattr(transitions.origin, "is_absorbing", None)
            if beyond is not None and not score.pays_absorbing:
                rewards = jnp.where(beyond, 0.0, rewards)
            weight = params["weights"][index]
            total = total + jnp.where(weight == 0.0, 0.0, weight * rewards)
            memories.append(part_memory)
        return total, tuple(memories)

    return Score(
        apply=apply,
        memory=lambda batch: tuple(score.memory(batch) for score in scores),
        pays_absorbing=any(score.pays_absorbing for score in scores),
    )


def with_expert(score: Score) -> Score:
    """A reward and the demonstrations, with parameters `{"reward": ..., "expert": ...}`.

    For learners that learn from the expert's rows as well.
    """

    def reward(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        return score.apply(params["reward"], memory, transitions)

    def expert(params: PyTree, key: Key, num: int) -> Transition:
        return sample(key, params["expert"], num)

    return dataclasses.replace(score, apply=reward, expert=expert)


def along(score: Score, params: PyTree, demos: Demonstrations) -> Array:
    """Rewards `[E, T]` of the demonstrated steps along their episodes; after an end, nothing."""
    count, steps = demos.reward.shape
    rows = transitions(demos, jnp.arange(count * steps).reshape(count, steps).T)  # [T, E]
    rewards, _ = score.apply(params, score.memory(count), rows)
    return jnp.where(jnp.arange(steps)[None] < demos.length[:, None], rewards.T, 0.0)


def shaped(score: Score, shaping: Score, *, scaled: bool = False) -> Score:
    """A reward and a shaping term, with parameters `{"reward": ..., "shaping": ...}`.

    The term is added to what a learner makes of the reward, as it is, or, if `scaled`, to the
    reward itself, so that a learner scales both alike.
    """

    def reward(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        return score.apply(params["reward"], memory, transitions)

    def bonus(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        return shaping.apply(params["shaping"], memory, transitions)

    def both(params: PyTree, memory: PyTree, transitions: Transition) -> tuple[Array, PyTree]:
        rewards, first = reward(params, memory[0], transitions)
        terms, second = bonus(params, memory[1], transitions)
        return rewards + terms, (first, second)

    if scaled:
        return Score(apply=both, memory=lambda batch: (score.memory(batch), shaping.memory(batch)))
    return Score(apply=reward, memory=score.memory, bonus=Score(apply=bonus, memory=shaping.memory))
