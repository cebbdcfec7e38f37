"""What a learner is paid for a rollout.

    rewards of the score, in units of the spread of their discounted sums, plus the score's bonus

The bonus is added as it is: a shaping term that was found for one scale of reward stays what it was
while the running scale still moves. Episode returns under the score alone are kept besides.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from evil import normalise
from evil.errors import UserError
from evil.learners import returns, scaling
from evil.pytrees import pytree
from evil.seams import Metrics, PyTree, Score, Transition


@pytree
class State:
    """What is carried from one rollout of B environments to the next."""

    memory: PyTree  # of the score
    bonus_memory: PyTree
    scale: scaling.ReturnScale
    running: Array  # [B] undiscounted rewards of each episode in progress
    last: Array  # [B] and of the most recently completed one


def init(score: Score, batch: int) -> State:
    """No rewards yet, in `batch` episodes."""
    return State(
        memory=score.memory(batch),
        bonus_memory=() if score.bonus is None else score.bonus.memory(batch),
        scale=scaling.init(batch),
        running=jnp.zeros(batch),
        last=jnp.zeros(batch),
    )


def pay(
    score: Score,
    params: PyTree,
    state: State,
    transitions: Transition,
    has_completed: Array,
    *,
    discount: Array | float,
    scaled: bool = True,
) -> tuple[State, Array, Metrics]:
    """Rewards `[T, B]` as a learner fits them; `scaled` says whether in units of their spread.

    `has_completed [B]` says which environments have completed an episode after these transitions.
    """
    done = transitions.terminated | transitions.truncated
    rewards, memory = score.apply(params, state.memory, transitions)
    scale, paid = scaling.scale_rewards(state.scale, rewards, done, discount=discount)
    paid = paid if scaled else rewards
    bonus_memory = state.bonus_memory
    if score.bonus is not None:
        bonus, bonus_memory = score.bonus.apply(params, bonus_memory, transitions)
        paid = paid + bonus
    totals, running = returns.running_returns(rewards, done, state.running, discount=1.0)
    last = _last_completed(totals, done, state.last)
    count = jnp.maximum(has_completed.sum(), 1)
    state = State(
        memory=memory,
        bonus_memory=bonus_memory,
        scale=scale,
        running=running,
        last=last,
    )
    metrics = {
        "agent/reward": rewards.mean(),
        "agent/scored_return": jnp.sum(last, where=has_completed) / count,
    }
    return state, paid, metrics


def has_memory(score: Score) -> bool:
    """Whether a score's rewards depend on more than the step that they are for."""
    parts = [score] if score.bonus is None else [score, score.bonus]
    return any(jax.tree.leaves(jax.eval_shape(lambda part=part: part.memory(1))) for part in parts)


def check(
    score: Score,
    expert_share: float = 0.0,
    prefill: int = 0,
    cloned: int = 0,
    *,
    stored: bool = False,
    scaled: bool = False,
) -> None:
    """UserError where a score does not fit what a learner takes from the expert.

    That is a share of its rows, rows in a replay that begins with them, or rows that are cloned.
    `stored` says whether rewards are those of when the rows were collected, `scaled` whether in
    units of their spread. The expert's rows then need rewards of their own, and only a reward with
    episode memory knows them: along the demonstrated episodes.
    """
    if not 0.0 <= expert_share < 1.0:
        raise UserError(f"expert_share must be from 0 to below 1, found {expert_share}")
    for name, wanted in (
        ("expert_share", expert_share),
        ("prefill", prefill),
        ("cloning_batch", cloned),
    ):
        if wanted and score.expert is None:
            raise UserError(f"{name} is {wanted}, but this reward brings no demonstrations.")
        if wanted and stored and name != "cloning_batch" and (scaled or not has_memory(score)):
            raise UserError(f"{name} needs rewards that are asked for when rows are drawn.")
    if score.reads_origin and not (expert_share or prefill):
        raise UserError(
            "this reward labels the expert's rows: expected expert_share or prefill above 0."
        )


def pay_anew(
    score: Score, params: PyTree, state: State, transitions: Transition, *, scaled: bool = True
) -> Array:
    """Rewards `[T, B]` of steps taken out of their episodes, for scores without memory.

    They are what `pay` would give by the present parameters and scale, and change neither.
    """
    batch = transitions.terminated.shape[1]
    rewards, _ = score.apply(params, score.memory(batch), transitions)
    if scaled:
        rewards = normalise.scale(state.scale.moments, rewards)
    if score.bonus is not None:
        rewards = rewards + score.bonus.apply(params, score.bonus.memory(batch), transitions)[0]
    return rewards


def _last_completed(totals: Array, done: Array, before: Array) -> Array:
    """Returns `[B]` of the last episode that ended in `[T, B]`; where none has, those `before`."""
    index = totals.shape[0] - 1 - jnp.argmax(done[::-1], axis=0)
    found = jnp.take_along_axis(totals, index[None], axis=0)[0]
    return jnp.where(done.any(axis=0), found, before)
