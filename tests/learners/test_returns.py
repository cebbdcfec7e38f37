"""Advantages and discounted sums: every number here can be checked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evil.learners import returns

# γ = 1/2 and λ = 1/2, so that γλ = 1/4 and every number is exact.
REWARDS = [1.0, 2.0, 3.0]
VALUES = [2.0, 4.0, 8.0]
NEXT_VALUES = [4.0, 8.0, 16.0]
NONE = [False, False, False]
MIDDLE = [False, True, False]
STEPS = 6


@jax.jit
def estimate(rewards, values, next_values, terminated, truncated, discount=0.5, lambda_=0.5):
    return returns.advantages(
        rewards, values, next_values, terminated, truncated, discount=discount, lambda_=lambda_
    )


def column(rewards, values, next_values, terminated, truncated, **kwargs):
    """Advantages of one environment, from plain lists."""
    arrays = (jnp.array(x)[:, None] for x in (rewards, values, next_values, terminated, truncated))
    return np.asarray(estimate(*arrays, **kwargs))[:, 0]


def test_advantages_by_hand():
    # δ = 1 + 4/2 - 2, 2 + 8/2 - 4, 3 + 16/2 - 8 = 1, 2, 3
    # A = 1 + 2.75/4, 2 + 3/4, 3
    found = column(REWARDS, VALUES, NEXT_VALUES, NONE, NONE)
    np.testing.assert_array_equal(found, [1.6875, 2.75, 3.0])


def test_a_termination_has_no_future():
    # δ_1 = 2 - 4 = -2, A_1 = -2, A_0 = 1 - 2/4
    found = column(REWARDS, VALUES, NEXT_VALUES, MIDDLE, NONE)
    np.testing.assert_array_equal(found, [0.5, -2.0, 3.0])


def test_a_truncation_bootstraps_with_its_own_successor():
    # V(s'_1) = 6 is the value before the reset, V(s_2) = 8 that of the next episode's start:
    # δ_1 = 2 + 6/2 - 4 = 1, A_1 = 1 without A_2, A_0 = 1 + 1/4
    found = column(REWARDS, VALUES, [4.0, 6.0, 16.0], NONE, MIDDLE)
    np.testing.assert_array_equal(found, [1.25, 1.0, 3.0])


def test_termination_wins_over_truncation():
    found = column(REWARDS, VALUES, NEXT_VALUES, MIDDLE, MIDDLE)
    np.testing.assert_array_equal(found, [0.5, -2.0, 3.0])


def test_a_termination_and_a_truncation_in_one_column():
    # δ_0 = 1 - 2 = -1; δ_1 = 2 + 8/2 - 4 = 2, cut; δ_2 = 3
    found = column(REWARDS, VALUES, NEXT_VALUES, [True, False, False], MIDDLE)
    np.testing.assert_array_equal(found, [-1.0, 2.0, 3.0])


def test_environments_do_not_mix():
    middle, none = jnp.array(MIDDLE), jnp.array(NONE)
    found = estimate(
        jnp.stack([jnp.array(REWARDS)] * 2, 1),
        jnp.stack([jnp.array(VALUES)] * 2, 1),
        jnp.stack([jnp.array(NEXT_VALUES)] * 2, 1),
        jnp.stack([middle, none], 1),
        jnp.stack([none, none], 1),
    )
    np.testing.assert_array_equal(found, [[0.5, 1.6875], [-2.0, 2.75], [3.0, 3.0]])


def test_the_successor_of_a_terminated_step_does_not_matter():
    found = column(REWARDS, VALUES, [4.0, np.nan, 16.0], MIDDLE, NONE)
    np.testing.assert_array_equal(found, [0.5, -2.0, 3.0])


numbers = hnp.arrays(np.float32, STEPS, elements=st.floats(-5, 5, width=32))
booleans = hnp.arrays(bool, STEPS)


@given(numbers, numbers, numbers, booleans, booleans)
def test_lambda_one_is_monte_carlo_with_bootstrap(
    rewards, values, next_values, terminated, truncated
):
    expected, total = np.zeros(STEPS), next_values[-1]
    for t in reversed(range(STEPS)):
        if terminated[t]:
            total = 0.0
        elif truncated[t]:
            total = next_values[t]
        total = rewards[t] + 0.9 * total
        expected[t] = total - values[t]
        # Inside an episode the critic must cancel: successor and next state have one value.
    inner = ~(terminated | truncated)[:-1]
    next_values = next_values.copy()
    next_values[:-1] = np.where(inner, values[1:], next_values[:-1])
    found = column(rewards, values, next_values, terminated, truncated, discount=0.9, lambda_=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@given(numbers, numbers, numbers, booleans, booleans)
def test_lambda_zero_is_the_one_step_error(rewards, values, next_values, terminated, truncated):
    found = column(rewards, values, next_values, terminated, truncated, discount=0.9, lambda_=0.0)
    expected = rewards + 0.9 * next_values * ~terminated - values
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_shapes_must_agree():
    row = jnp.zeros((3, 1))
    with pytest.raises(AssertionError):
        returns.advantages(row, row, row[:2], row > 0, row > 0, discount=0.5, lambda_=0.5)


def test_running_returns_by_hand():
    # R = 1 + 2/2, 2 + 2/2, 4 + 0 (a new episode), 8 + 4/2: the 2 belongs to the first episode
    rewards = jnp.array([[1.0], [2.0], [4.0], [8.0]])
    done = jnp.array([[False], [True], [False], [False]])
    totals, carry = returns.running_returns(rewards, done, jnp.array([2.0]), discount=0.5)
    np.testing.assert_array_equal(totals[:, 0], [2.0, 3.0, 4.0, 10.0])
    np.testing.assert_array_equal(carry, [10.0])


def test_running_returns_end_with_the_last_step():
    rewards, done = jnp.array([[1.0], [2.0]]), jnp.array([[False], [True]])
    totals, carry = returns.running_returns(rewards, done, jnp.array([0.0]), discount=0.5)
    np.testing.assert_array_equal(totals[:, 0], [1.0, 2.5])
    np.testing.assert_array_equal(carry, [0.0])


def test_running_returns_carry_over_rollouts(key):
    rewards = jax.random.normal(key, (8, 3))
    done = jax.random.bernoulli(key, 0.3, (8, 3)).at[3].set(jnp.array([True, False, True]))
    whole, end = returns.running_returns(rewards, done, jnp.zeros(3), discount=0.9)
    first, carry = returns.running_returns(rewards[:4], done[:4], jnp.zeros(3), discount=0.9)
    second, carry = returns.running_returns(rewards[4:], done[4:], carry, discount=0.9)
    np.testing.assert_allclose(jnp.concatenate([first, second]), whole, rtol=1e-6)
    np.testing.assert_allclose(carry, end, rtol=1e-6)


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([0.0, 2.0], 1.0),  # perfect
        ([5.0, 5.0], 0.0),  # a constant
        ([1.0, 2.0], 0.75),  # errors -1 and 0 have variance 1/4, targets 1
        ([2.0, 0.0], -3.0),  # errors -2 and 2 have variance 4
    ],
)
def test_explained_variance_by_hand(predictions, expected):
    found = returns.explained_variance(jnp.array(predictions), jnp.array([0.0, 2.0]))
    np.testing.assert_allclose(found, expected, atol=1e-6)
