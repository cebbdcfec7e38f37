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


def mix(
    key: Key,
    score: Score,
    params: PyTree,
    steps: Transition,
    collected: Array,
    rounds: Rounds,
    *,
    length: int,
    share: float,
    alternate: bool,
) -> Transition:
    """Batches `[num, size]` of the agent's steps, a share replaced by the expert's.

    All know their origin. `collected` are the rounds of the agent's.
    """
    num, size = collected.shape
    experts = jnp.zeros((num, size), bool)
    if score.expert is not None and share:
        experts = is_experts(num, size, share, (rounds.rollouts - 1) * num, alternate=alternate)
        drawn = score.expert(params, key, num * size)
        steps = select(
            experts, jax.tree.map(lambda x: x.reshape((num, size, *x.shape[1:])), drawn), steps
        )
    origin = Origin(
        is_expert=experts,
        is_old=~experts & (collected < present(rounds, length)),
        episodes=jnp.broadcast_to(rounds.before, experts.shape),
    )
    return dataclasses.replace(steps, origin=origin)
