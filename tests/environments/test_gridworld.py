"""The gridworld, move by move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.environments import gridworld

UP, RIGHT, DOWN, LEFT = range(4)
STEP = jax.jit(gridworld.step)


def walk(start, actions, params=None):
    """Positions, rewards and terminations of a walk from `start` (row, column)."""
    params = gridworld.default_params() if params is None else params
    state = gridworld.State(position=jnp.array(start, jnp.int32), found=jnp.zeros((), bool))
    positions, steps = [], []
    for action in actions:
        state, step = STEP(jax.random.key(0), state, jnp.int32(action), params)
        positions.append(tuple(int(x) for x in state.position))
        steps.append(step)
    rewards = [float(s.reward) for s in steps]
    return positions, rewards, [bool(s.terminated) for s in steps], steps[-1].next_obs


def test_optimal_path_is_paid_on_arrival_and_ends_a_step_later():
    positions, rewards, terminated, obs = walk((1, 2), [RIGHT, UP, RIGHT, LEFT])
    assert positions == [(1, 3), (0, 3), (0, 4), (0, 3)]
    assert rewards == [0.0, 0.0, 1.0, 0.0]
    assert terminated == [False, False, False, True]
    # row 0/5, column 3/5, goal (0/5, 4/5), found
    np.testing.assert_allclose(obs, [0.0, 0.6, 0.0, 0.8, 1.0])


def test_moves_stop_at_the_edge():
    positions, rewards, _, obs = walk((4, 0), [DOWN, LEFT, UP, RIGHT])
    assert positions == [(4, 0), (4, 0), (3, 0), (3, 1)]
    assert rewards == [0.0] * 4
    np.testing.assert_allclose(obs, [0.6, 0.2, 0.0, 0.8, 0.0])


def test_the_goal_is_found_by_moving_to_it():
    # Starting there, or pushing against the edge from there, does not count.
    _, rewards, terminated, _ = walk((0, 4), [UP, RIGHT, LEFT, RIGHT, UP])
    assert rewards == [0.0, 0.0, 0.0, 1.0, 0.0]
    assert terminated == [False, False, False, False, True]


def test_no_limit_of_its_own():
    _, rewards, terminated, _ = walk((2, 2), [LEFT, RIGHT] * 8)
    assert not any(terminated) and not any(rewards)
    assert gridworld.make().spec.time_limit == 10
    assert gridworld.make().spec.landmark is None


def test_wall_has_one_door():
    params = gridworld.Params(maze=gridworld.wall(), goal=jnp.array([0, 4], jnp.int32))
    assert walk((3, 2), [UP, LEFT, UP, UP], params)[0] == [(3, 2), (3, 1), (2, 1), (1, 1)]


def test_starts_cover_the_free_cells_and_no_other():
    params = gridworld.Params(maze=gridworld.wall(), goal=jnp.array([0, 4], jnp.int32))
    keys = jax.random.split(jax.random.key(0), 2000)
    state, _ = jax.jit(jax.vmap(gridworld.reset, (0, None)))(keys, params)
    counts = np.zeros((5, 5), int)
    np.add.at(counts, tuple(np.asarray(state.position).T), 1)
    free = np.asarray(params.maze)
    assert (counts[~free] == 0).all()
    # 2000 / 21 = 95 a cell, standard deviation 9.5: five of them either way
    assert counts[free].min() > 47 and counts[free].max() < 143
    assert not state.found.any()


def test_goals_are_data_and_may_be_batched():
    goals = jnp.array([[2, 3], [0, 4]], jnp.int32)
    params = gridworld.Params(maze=jnp.ones((2, 5, 5), bool), goal=goals)
    state = gridworld.State(position=jnp.array([[2, 2]] * 2, jnp.int32), found=jnp.zeros(2, bool))
    keys = jax.random.split(jax.random.key(0), 2)
    _, step = jax.vmap(gridworld.step)(keys, state, jnp.array([RIGHT] * 2), params)
    np.testing.assert_array_equal(step.reward, [1.0, 0.0])
    np.testing.assert_allclose(step.next_obs[:, 2:4], goals / 5)


@pytest.mark.parametrize("action", range(4))
def test_actions_point_where_they_say(action):
    target = {UP: (1, 2), RIGHT: (2, 3), DOWN: (3, 2), LEFT: (2, 1)}[action]
    assert walk((2, 2), [action])[0] == [target]


def test_the_optimal_value_counts_the_steps_to_the_goal():
    params = gridworld.default_params()
    value = np.asarray(gridworld.optimal_value(params, 0.9)).reshape(5, 5)
    row, column = np.indices((5, 5))
    steps = row + (4 - column)
    steps[0, 4] = 2  # who stands on the goal must leave and come back
    np.testing.assert_allclose(value, 0.9 ** (steps - 1), rtol=1e-5)


def test_the_optimal_value_goes_through_the_door():
    params = gridworld.Params(maze=gridworld.wall(), goal=jnp.array([0, 4], jnp.int32))
    value = np.asarray(gridworld.optimal_value(params, 0.9)).reshape(5, 5)
    # From the lower right corner: three to the left, four up, three to the right.
    assert value[4, 4] == pytest.approx(0.9 ** (3 + 4 + 3 - 1), rel=1e-5)
