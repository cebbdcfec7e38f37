"""What a user hands in: one sentence about what is wrong with it."""

import numpy as np
import pytest

from evil.errors import UserError
from evil.tabular import mdp as mdps
from evil.tabular.dynamics import Dense, Grid, Table

TRANSITION = np.array([[[0.5, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
REWARD = np.array([[1.0, 2.0], [3.0, 4.0]])
START = np.array([1.0, 0.0])


def changed(array, where, value):
    array = np.array(array, float)
    array[where] = value
    return array


def test_rewards_by_state_action_and_successor_are_the_same_world():
    by_successor = np.array([[[0.0, 2.0], [9.0, 2.0]], [[3.0, 9.0], [9.0, 4.0]]])
    for reward in (REWARD, by_successor):
        found = mdps.from_arrays(TRANSITION, reward, START)
        np.testing.assert_allclose(found.reward, REWARD)
    by_state = mdps.from_arrays(TRANSITION, [5.0, 6.0], START, end=[False, True])
    np.testing.assert_allclose(by_state.reward, [[5.0, 5.0], [6.0, 6.0]])
    np.testing.assert_array_equal(by_state.end, [False, True])
    assert (by_state.num_states, by_state.num_actions) == (2, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transition": changed(TRANSITION, (1, 0, 0), 0.9)}, "state 1, action 0 sums to 0.9"),
        ({"transition": changed(TRANSITION, (0, 1), [-0.5, 1.5])}, "state 0, action 1 gives -0.5"),
        ({"transition": changed(TRANSITION, (0, 1, 1), np.nan)}, "gives nan to 1"),
        ({"transition": TRANSITION[:, :, :1]}, r"shape \(2, 2, 1\)"),
        ({"reward": changed(REWARD, (1, 1), np.inf)}, r"reward is inf at \(1, 1\)"),
        ({"reward": np.zeros(3)}, r"reward has shape \(3,\), expected \(2, 2\)"),
        ({"start": np.array([0.5, 0.4])}, "start sums to 0.9"),
        ({"start": np.array([1.5, -0.5])}, "start gives -0.5 to 1"),
        ({"end": [True]}, r"end has shape \(1,\)"),
    ],
)
def test_a_wrong_array_is_named(change, words):
    given = {"transition": TRANSITION, "reward": REWARD, "start": START} | change
    with pytest.raises(UserError, match=words):
        mdps.from_arrays(**given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"successor": [[0, 1], [2, 0]]}, "state 1, action 0 is state 2, expected 0 to 1"),
        ({"successor": [[0.0, 1.0], [1.0, 0.0]]}, "whole numbers"),
        ({"execution": [[1.0, 0.0], [0.5, 0.4]]}, "execution of intended action 1 sums to 0.9"),
        ({"execution": [[1.0]]}, r"execution has shape \(1, 1\)"),
    ],
)
def test_a_wrong_table_is_named(change, words):
    given = {"successor": [[0, 1], [1, 0]], "reward": REWARD, "start": START} | change
    with pytest.raises(UserError, match=words):
        mdps.from_table(**given)


def test_rounding_is_scaled_away():
    found = mdps.from_arrays(changed(TRANSITION, (0, 0, 0), 0.5 + 1e-6), REWARD, START)
    np.testing.assert_allclose(np.asarray(found.dynamics.transition).sum(-1), 1.0, atol=1e-7)


def test_forms_of_one_world():
    grid = mdps.assembled(Grid(rows=1, columns=2), REWARD.repeat(2, 1), START)
    assert isinstance(mdps.in_form(grid, Table).dynamics, Table)
    assert isinstance(mdps.in_form(grid, Dense).dynamics, Dense)
    with pytest.raises(UserError, match="Dense dynamics becomes Table"):
        mdps.in_form(mdps.in_form(grid, Dense), Table)
