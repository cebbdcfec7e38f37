"""What learners are paid: by hand, over two rollouts."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from evil.learners import scoring
from evil.rewards import fixed, memoryless
from evil.seams import Score, Transition


def rollout(rewards, ended):
    """Steps `[T, B]` of which only rewards and ends matter."""
    rewards = jnp.array(rewards, jnp.float32)
    ended = jnp.array(ended, bool)
    nothing = jnp.zeros(rewards.shape)
    return Transition(
        obs=nothing,
        action=nothing,
        next_obs=nothing,
        reward=rewards,
        terminated=ended,
        truncated=jnp.zeros_like(ended),
    )


FIRST = rollout([[1, 10], [2, 20], [4, 40]], [[0, 0], [1, 0], [0, 0]])
SECOND = rollout([[8, 80], [16, 160]], [[1, 0], [1, 0]])
ONE = jnp.array([True, False])  # only the first environment ever completes an episode


def test_returns_of_completed_episodes():
    score = fixed.real()
    state = scoring.init(score, 2)
    state, _, metrics = scoring.pay(score, (), state, FIRST, ONE, discount=0.9)
    # The first environment has completed 1 + 2, the second nothing yet.
    np.testing.assert_allclose(metrics["agent/scored_return"], 3.0)
    np.testing.assert_allclose(metrics["agent/reward"], 77 / 6, rtol=1e-6)
    np.testing.assert_allclose(state.running, [4.0, 70.0])
    state, _, metrics = scoring.pay(score, (), state, SECOND, ONE, discount=0.9)
    # 4 + 8 ended first, but 16 alone ended last.
    np.testing.assert_allclose(state.last, [16.0, 0.0])
    np.testing.assert_allclose(metrics["agent/scored_return"], 16.0)
    np.testing.assert_allclose(state.running, [0.0, 310.0])


def test_the_bonus_is_added_after_scaling():
    plain = fixed.real()
    bonus = memoryless(lambda params, steps: 5.0 * jnp.ones_like(steps.reward))
    shaped = dataclasses.replace(plain, bonus=bonus)
    _, without, metrics = scoring.pay(plain, (), scoring.init(plain, 2), FIRST, ONE, discount=0.9)
    _, with_bonus, same = scoring.pay(shaped, (), scoring.init(shaped, 2), FIRST, ONE, discount=0.9)
    np.testing.assert_allclose(with_bonus, without + 5.0, rtol=1e-6)
    assert np.abs(np.asarray(without)).max() < 5  # in units of their spread, not 40
    np.testing.assert_array_equal(metrics["agent/reward"], same["agent/reward"])


def test_unscaled_rewards_are_the_scores():
    score = fixed.real()
    _, paid, _ = scoring.pay(
        score, (), scoring.init(score, 2), FIRST, ONE, discount=0.9, scaled=False
    )
    np.testing.assert_array_equal(paid, FIRST.reward)


def test_both_memories_are_carried():
    def counting(params, memory, steps):
        return jnp.zeros_like(steps.reward), memory + steps.reward.shape[0]

    def zeros(batch):
        return jnp.zeros((), jnp.int32)

    score = Score(apply=counting, memory=zeros, bonus=Score(apply=counting, memory=zeros))
    state = scoring.init(score, 2)
    for steps in (FIRST, SECOND):
        state, _, _ = scoring.pay(score, (), state, steps, ONE, discount=0.9)
    assert (state.memory, state.bonus_memory) == (5, 5)
