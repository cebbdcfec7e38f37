"""Where the rows come from that a learner draws: itself, now or in earlier rounds, or the expert.

A round is a stretch of so many rollouts. Rewards that are mere labels of origin read what is said
here; all others may ignore it.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from evil.errors import UserError
from evil.pytrees import pytree, select
from evil.seams import Key, PyTree, Score, Transition

FOR_EVER = 2**31 - 1


@pytree
class Origin:
    """Where the rows come from that a learner draws from its replay: `Transition.origin`."""

    is_expert: Array  # bool
    is_old: Array  # bool: the agent's, of an earlier round
    episodes: Array  # int32: how many of the agent's had ended when the present round began
    is_absorbing: Array | None = None  # bool: of the state after an end, where rows say so


@dataclasses.dataclass(frozen=True)
class Mixture:
    """What the batches of a learner are made of."""

    rollout: int  # transitions that are collected at once
    capacity: int  # of the replay
    length: int = FOR_EVER  # rollouts in a round
    share: float = 0.0  # of the expert
    alternate: bool = False  # whether of whole batches rather than of each
    prefill: int = 0  # the expert's rows with which the replay is taken to have begun


@pytree
class Rounds:
    """Counts of rollouts and of the agent's episodes that have ended, `[]` int32 each."""

    rollouts: Array  # so far
    ended: Array  # episodes so far
    before: Array  # and before the present round


def init() -> Rounds:
    """Before the first rollout."""
    zero = jnp.zeros((), jnp.int32)
    return Rounds(rollouts=zero, ended=zero, before=zero)


def per_round(round_length: int, size: int) -> int:
    """Rollouts of `size` transitions in a round; a length of 0 is a round without end."""
    if round_length % size:
        raise UserError(
            f"round_length must be a multiple of the {size} transitions of a rollout, found "
            f"{round_length}"
        )
    return round_length // size or FOR_EVER


def nearest(round_length: int, size: int) -> int:
    """The length nearest to `round_length` that `per_round` admits."""
    return max(1, round(round_length / size)) * size if round_length else 0


def count(rounds: Rounds, rollout: Transition, length: int) -> Rounds:
    """After one more rollout; `length` of them are a round."""
    begins, done = rounds.rollouts % length == 0, rollout.terminated | rollout.truncated
    return Rounds(
        rollouts=rounds.rollouts + 1,
        ended=rounds.ended + done.sum(dtype=jnp.int32),
        before=jnp.where(begins, rounds.ended, rounds.before),
    )


def present(rounds: Rounds, length: int) -> Array:
    """The round of the last rollout, from 0."""
    return (rounds.rollouts - 1) // length


def is_experts(num: int, size: int, share: float, first: Array, *, alternate: bool) -> Array:
    """Which rows of batches `[num, size]` are to be the expert's: a share of each batch.

    With `alternate` it is that share of all batches that is the expert's as a whole; `first` is the
    number of batches drawn before.
    """
    if not alternate:
        return jnp.broadcast_to(jnp.arange(size) < round(share * size), (num, size))
    # Fractions add up to more than a whole: in integers, which do not wear out.
    parts = round(share * 1000)
    number = (first % 1000 + jnp.arange(num)) * parts
    whole = (number + parts) // 1000 > number // 1000
    return jnp.broadcast_to(whole[:, None], (num, size))


def prefilled(mixture: Mixture, rollouts: Array) -> Array:
    """Share of the replay that the expert's first rows still take up, if it began with them.

    They are the oldest, so what is collected overwrites them first once the replay is full.
    """
    full = -(-mixture.capacity // mixture.rollout)  # beyond, the count only might overflow
    collected = jnp.minimum(rollouts, full) * mixture.rollout
    left = jnp.clip(mixture.capacity - collected, 0, mixture.prefill)
    return left / jnp.maximum(left + collected, 1)


def mix(
    key: Key,
    score: Score,
    params: PyTree,
    steps: Transition,
    collected: Array,
    rounds: Rounds,
    mixture: Mixture,
) -> Transition:
    """Batches `[num, size]` of the agent's steps, some replaced by the expert's.

    All know their origin. `collected` are the rounds of the agent's.
    """
    num, size = collected.shape
    experts = jnp.zeros((num, size), bool)
    if mixture.share:
        first = (rounds.rollouts - 1) * num
        experts = is_experts(num, size, mixture.share, first, alternate=mixture.alternate)
    if mixture.prefill:
        key, key_prefill = jax.random.split(key)
        share = prefilled(mixture, rounds.rollouts)
        experts = experts | jax.random.bernoulli(key_prefill, share, (num, size))
    if mixture.share or mixture.prefill:
        assert score.expert is not None  # or `scoring.check` would have said so
        drawn = score.expert(params, key, num * size)
        drawn = jax.tree.map(lambda x: x.reshape((num, size, *x.shape[1:])), drawn)
        steps = select(experts, drawn, steps)
    origin = Origin(
        is_expert=experts,
        is_old=~experts & (collected < present(rounds, mixture.length)),
        episodes=jnp.broadcast_to(rounds.before, experts.shape),
    )
    return dataclasses.replace(steps, origin=origin)
