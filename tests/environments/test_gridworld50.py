"""The 50x50 gridworld, move by move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.environments import gridworld50 as world

UP, DOWN, LEFT, RIGHT = range(4)
PARAMS = world.default_params()
STEP = jax.jit(world.step)


def cell(row, column):
    return jnp.int32(50 * row + column)


def test_the_map_is_that_of_its_seed():
    payment = world.payments()
    expected = np.zeros(2500)
    expected[np.random.default_rng(1000).choice(2499, size=833, replace=False)] = -1.0
    expected[2499] = 10.0
    np.testing.assert_array_equal(payment, expected)
    assert not np.array_equal(payment, world.payments(seed=1001))


def test_starts_are_the_cells_with_a_way_to_the_goal():
    starts = world.starts(world.payments())
    assert starts.sum() == 1512 and not starts[2499]
    assert (world.payments()[starts] == 0.0).all()
    closed = world.payments()
    closed[[2449, 2498]] = -1.0
    assert world.starts(closed).sum() == 0


@pytest.mark.parametrize(
    ("start", "action", "arrives"),
    [
        ((3, 7), UP, (2, 7)),
        ((3, 7), DOWN, (4, 7)),
        ((3, 7), LEFT, (3, 6)),
        ((3, 7), RIGHT, (3, 8)),
    ],
)
def test_moves_pay_what_is_written_where_they_lead(start, action, arrives):
    after, step = STEP(jax.random.key(0), cell(*start), jnp.int32(action), PARAMS)
    assert int(after) == int(cell(*arrives))
    assert float(step.reward) == float(PARAMS.payment[after])
    np.testing.assert_array_equal(step.next_obs, arrives)
    assert not step.terminated


@pytest.mark.parametrize(
    ("start", "action"), [((0, 4), UP), ((49, 4), DOWN), ((4, 0), LEFT), ((4, 49), RIGHT)]
)
def test_the_edge_costs_one_whatever_the_cell(start, action):
    free = world.with_map(np.zeros(2500, np.float32))
    after, step = STEP(jax.random.key(0), cell(*start), jnp.int32(action), free)
    assert int(after) == int(cell(*start)) and float(step.reward) == -1.0


@pytest.mark.parametrize(("start", "action"), [((48, 49), DOWN), ((49, 48), RIGHT)])
def test_arriving_at_the_goal_pays_and_ends(start, action):
    after, step = STEP(jax.random.key(0), cell(*start), jnp.int32(action), PARAMS)
    assert int(after) == world.GOAL and float(step.reward) == 10.0 and bool(step.terminated)


def test_a_slippery_world_executes_seven_actions_in_ten():
    slippery = world.Params(
        payment=PARAMS.payment, starts=PARAMS.starts, execution=jnp.asarray(world.SLIPPERY)
    )
    keys = jax.random.split(jax.random.key(0), 4000)
    after, _ = jax.vmap(STEP, (0, None, None, None))(keys, cell(5, 5), jnp.int32(LEFT), slippery)
    went = [
        int((np.asarray(after) == 50 * r + c).sum()) for r, c in ((5, 4), (4, 5), (6, 5), (5, 6))
    ]
    assert sum(went) == 4000
    assert abs(went[0] - 2800) < 5 * 29  # deviation sqrt(4000 · .7 · .3)
    assert all(abs(count - 400) < 5 * 19 for count in went[1:])


def test_observations_name_their_cells():
    cells = jnp.arange(2500)
    np.testing.assert_array_equal(world.cell_of(world.observe(cells)), cells)
