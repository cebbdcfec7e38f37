"""Demonstrations as numbers of states."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations import catalogue
from evil.errors import UserError
from evil.tabular import mdp as mdps
from evil.tabular import occupancy, trajectories, worlds
from evil.tabular.trajectories import Trajectories

# Action 0 goes one state on, action 1 stays; state 2 is the end.
CHAIN = mdps.from_table([[1, 0], [2, 1], [2, 2]], np.zeros((3, 2)), [1, 0, 0], [False, False, True])


def given(**changes):
    found = Trajectories(
        states=jnp.array([[0, 1, 2, 0], [0, 0, 0, 1]]),
        actions=jnp.array([[0, 0, 0], [1, 1, 0]]),
        length=jnp.array([2, 3]),
        count=jnp.array(2),
    )
    return dataclasses.replace(found, **changes)


def test_visits_by_hand():
    found = trajectories.visits(given(), CHAIN, discount=0.5)
    # Episode 0: (0,0) 1, (1,0) 1/2. Episode 1: (0,1) 1 + 1/2, (0,0) 1/4. Mean of the two.
    np.testing.assert_allclose(found, [[0.625, 0.75], [0.25, 0.0], [0.0, 0.0]])
    first = trajectories.visits(given(count=jnp.array(1)), CHAIN)
    np.testing.assert_allclose(first, [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(trajectories.final_states(given(), 3), [0.0, 0.5, 0.5])
    np.testing.assert_allclose(trajectories.first_states(given(), 3), [1.0, 0.0, 0.0])


def test_action_tables_are_uniform_where_nothing_is_known():
    counts = jnp.array([[3.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(trajectories.action_table(counts), [[0.75, 0.25], [0.5, 0.5]])


def test_what_was_recorded_after_the_end_is_cut():
    late = given(length=jnp.array([3, 3]), states=jnp.array([[0, 1, 2, 2], [0, 0, 0, 1]]))
    np.testing.assert_array_equal(trajectories.check(late, CHAIN, 3).length, [2, 3])


@pytest.mark.parametrize(
    ("change", "horizon", "words"),
    [
        ({"states": jnp.array([[0, 1, 2, 0], [0, 0, 5, 1]])}, 3, "episode 1, step 2 is state 5"),
        ({"actions": jnp.array([[0, 7, 0], [1, 1, 0]])}, 3, "episode 0, step 1 is 7, expected 0"),
        (
            {"states": jnp.array([[0, 1, 2, 0], [0, 1, 1, 1]])},
            3,
            "episode 1, step 0 goes from state 0 by action 1 to state 1, .* probability 0",
        ),
        ({}, 2, "episode 1 has 3 steps, expected at most the horizon of 2"),
    ],
)
def test_what_cannot_have_happened_is_refused(change, horizon, words):
    with pytest.raises(UserError, match=words):
        trajectories.check(given(**change), CHAIN, horizon)


def test_rollouts_have_the_occupancy_of_their_policy():
    world = worlds.make("gridworld")
    policy = occupancy.uniform(world.mdp)
    found = jax.jit(lambda key: trajectories.rollout(key, world.mdp, policy, world.horizon, 4000))(
        jax.random.key(0)
    )
    trajectories.check(found, world.mdp, world.horizon)
    exact = occupancy.occupancy(world.mdp, policy, world.horizon)
    # Visits of a cell per episode deviate by less than 2: five standard errors.
    np.testing.assert_allclose(trajectories.visits(found, world.mdp), exact, atol=10 / 4000**0.5)
    np.testing.assert_allclose(found.length.mean(), exact.sum(), atol=5 * 4 / 4000**0.5)


def test_shipped_demonstrations_of_the_small_gridworld():
    world = worlds.make("gridworld")
    demos, card = catalogue.demonstrations(world.spec)
    found = trajectories.read(demos, world.state_of, world.mdp, world.horizon)
    visits = trajectories.visits(found, world.mdp)
    assert float(jnp.sum(visits * world.mdp.reward)) == pytest.approx(card["return_mean"], abs=0.2)
    # The environment ends one step after the goal was found: that step is no part of the path.
    assert int(found.length.max()) < int(demos.length.max())


def test_a_card_of_exact_returns():
    world = worlds.make("gridworld50")
    card = catalogue.card(world.spec)
    assert card["exact"] and card["return_mean"] == pytest.approx(8.858, abs=1e-3)
    assert card["return_mean_of_optimum"] == pytest.approx(10.0, abs=1e-4)
    assert card["random_return_mean"] == pytest.approx(-67.6408, abs=1e-4)
