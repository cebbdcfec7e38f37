"""The greedy coupling, against one that walks from row to row."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations.demonstrations import from_episodes
from evil.errors import UserError
from evil.rewards import coupling
from evil.seams import Environment, Spec, Transition

LIMIT = 6
SPEC = Spec(
    name="still",
    obs_shape=(2,),
    time_limit=LIMIT,
    action_size=1,
    action_low=(-1.0,),
    action_high=(1.0,),
)
ENV = Environment(spec=SPEC, params=(), reset=None, step=None)
RNG = np.random.default_rng(0)


def walk(distance, free, need):
    """Take from the nearest row that is not empty, until there is enough."""
    free, taken = free.copy(), np.zeros_like(free)
    while need > 0 and free.sum() > 0:
        nearest = np.argmin(np.where(free > 0, distance, np.inf))
        amount = min(need, free[nearest])
        taken[nearest] += amount
        free[nearest] -= amount
        need -= amount
    return taken


@pytest.mark.parametrize(("rows", "steps"), [(4, 7), (7, 4), (5, 5), (1, 9), (30, 3)])
@pytest.mark.parametrize("tied", [False, True])
def test_every_step_takes_the_nearest(rows, steps, tied):
    """Rows weigh as many units as there are steps, and steps as there are rows."""
    free, total = np.full(rows, steps, np.int32), np.zeros(rows, np.int32)
    couple = jax.jit(coupling.couple)
    for _ in range(steps):
        distance = RNG.integers(0, 3, rows) if tied else RNG.random(rows)
        distance = distance.astype(np.float32)
        expected = walk(distance, free, rows)
        cost, left, sufficed = couple(distance, free, jnp.int32(rows))
        np.testing.assert_array_equal(free - np.asarray(left), expected)
        np.testing.assert_allclose(cost, (expected * distance).sum() / rows, rtol=1e-5, atol=1e-6)
        assert sufficed
        free, total = free - expected, total + expected
    assert (total == steps).all() and (free == 0).all()  # all of it, and no more


def test_where_too_little_is_left_all_of_it_is_taken():
    distance, free = jnp.array([1.0, 0.0, 2.0]), jnp.array([1, 0, 2], jnp.int32)
    _, left, sufficed = coupling.couple(distance, free, jnp.int32(5))
    np.testing.assert_array_equal(left, [0, 0, 0])
    assert not sufficed


def test_distances_may_be_zero_and_huge():
    distance, free = jnp.array([3e38, 0.0, 1e-30]), jnp.array([2, 2, 2], jnp.int32)
    np.testing.assert_array_equal(coupling.take(distance, free, jnp.int32(3)), [0, 2, 1])
    np.testing.assert_array_equal(coupling.take(distance, free, jnp.int32(5)), [1, 2, 2])


OBS = RNG.normal(size=(LIMIT + 1, 2)).astype(np.float32)
ACTION = RNG.uniform(-1, 1, (LIMIT, 1)).astype(np.float32)
DEMOS = from_episodes([{"obs": OBS, "action": ACTION}])
MODEL = coupling.make(coupling.Config(max_rows=8, batch_size=4), ENV)
STATE = MODEL.init(jax.random.key(0), DEMOS)
PAY = jax.jit(MODEL.score.apply)


def played(obs, action, ends=()):
    """An episode `[T, 1]`, which terminates at the steps in `ends`."""
    count = len(action)
    ended = jnp.zeros((count, 1), bool).at[jnp.array(ends, int), 0].set(True)
    return Transition(
        obs=jnp.asarray(obs[:count])[:, None],
        action=jnp.asarray(action)[:, None],
        next_obs=jnp.asarray(obs[:count])[:, None],
        reward=jnp.zeros((count, 1)),
        terminated=ended,
        truncated=jnp.zeros((count, 1), bool),
    )


def test_the_expert_is_paid_in_full():
    rewards, used = PAY(MODEL.params(STATE), MODEL.score.memory(1), played(OBS, ACTION))
    np.testing.assert_allclose(rewards[:, 0], 5.0, rtol=1e-2)
    np.testing.assert_array_equal(used[0], [LIMIT] * 6 + [0, 0])  # padding is never used
    again, _ = PAY(MODEL.params(STATE), used, played(OBS, ACTION))
    np.testing.assert_array_equal(again, np.zeros((LIMIT, 1)))  # nothing is left


def test_staying_at_one_row_is_paid_once():
    still = played(np.repeat(OBS[:1], LIMIT, 0), np.repeat(ACTION[:1], LIMIT, 0))
    rewards, _ = PAY(MODEL.params(STATE), MODEL.score.memory(1), still)
    assert rewards[0, 0] > 4.9
    assert (np.diff(rewards[:, 0]) < 0).all()


def test_an_episode_by_hand():
    obs, action = OBS[::-1] + 0.3, -ACTION
    rewards, _ = PAY(MODEL.params(STATE), MODEL.score.memory(1), played(obs, action))
    expert = np.concatenate([OBS[:LIMIT], ACTION], 1)
    mean, std = expert.mean(0), expert.std(0)
    seen = (np.concatenate([obs[:LIMIT], action], 1) - mean) / std
    atoms, free, expected = (expert - mean) / std, np.full(LIMIT, LIMIT), []
    for row in seen:
        distance = np.linalg.norm(atoms - row, axis=1)
        taken = walk(distance, free, LIMIT)
        free = free - taken
        cost = (taken * distance).sum() / LIMIT
        expected.append(5.0 * np.exp(-5.0 * cost / np.sqrt(3)))
    np.testing.assert_allclose(rewards[:, 0], expected, rtol=1e-3)


def test_the_next_episode_starts_afresh():
    whole = played(np.concatenate([OBS[:3], OBS[:3]]), np.concatenate([ACTION[:3]] * 2), ends=[2])
    rewards, _ = PAY(MODEL.params(STATE), MODEL.score.memory(1), whole)
    np.testing.assert_allclose(rewards[3:], rewards[:3], rtol=1e-5)


def test_a_rollout_in_two_parts_is_the_rollout():
    episode = played(OBS[::-1] + 0.1, ACTION)
    whole, end = PAY(MODEL.params(STATE), MODEL.score.memory(1), episode)
    first, second = (jax.tree.map(lambda x, s=s: x[s], episode) for s in (slice(3), slice(3, 6)))
    begun, used = PAY(MODEL.params(STATE), MODEL.score.memory(1), first)
    ended, used = PAY(MODEL.params(STATE), used, second)
    np.testing.assert_allclose(np.concatenate([begun, ended]), whole, rtol=1e-6)
    np.testing.assert_array_equal(used, end)


def test_rows_are_thinned_evenly():
    model = coupling.make(coupling.Config(max_rows=3, inputs="s"), ENV)
    state = model.init(jax.random.key(0), DEMOS)
    kept = (OBS[[0, 2, 4]] - OBS[:LIMIT].mean(0)) / OBS[:LIMIT].std(0)
    np.testing.assert_allclose(state.rows, kept, rtol=1e-4, atol=1e-5)
    assert state.count == 3


def test_what_cannot_be_counted_is_refused():
    long = dataclasses.replace(ENV, spec=dataclasses.replace(SPEC, time_limit=10**7))
    with pytest.raises(UserError, match="max_rows below 214"):
        coupling.make(coupling.Config(max_rows=1000), long)
