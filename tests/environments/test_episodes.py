"""Episodes of a world that counts: every number can be checked by eye."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.environments import episodes
from evil.seams import Environment, Spec, Step

NEVER = 1000
LIMIT = 3


def reset(key, params):
    """A world knows where it came from and how often it has stepped."""
    state = (jax.random.uniform(key), jnp.zeros((), jnp.int32))
    return state, jnp.stack([state[0], 0.0])


def step(key, state, action, params):
    """Pay the action; terminate at `end`; show no number at `broken`."""
    origin, count = state[0], state[1] + 1
    obs = jnp.stack([origin, count.astype(jnp.float32)])
    return (origin, count), Step(
        next_obs=jnp.where(count == params["broken"], jnp.nan, obs),
        reward=action[0],
        terminated=(count >= params["end"]) | (action[0] < 0),
        truncated=jnp.zeros((), bool),
    )


ENV = Environment(
    spec=Spec(
        name="counting",
        obs_shape=(2,),
        time_limit=LIMIT,
        action_size=1,
        action_low=(-1.0,),
        action_high=(9.0,),
    ),
    params={"end": jnp.int32(NEVER), "broken": jnp.int32(NEVER)},
    reset=reset,
    step=step,
)
STEP = jax.jit(
    lambda key, state, action, params, bank: episodes.step(ENV, key, state, action, params, bank)
)
BANK = episodes.starts(ENV, jax.random.key(17), ENV.params, 4)


def start(num_envs=2):
    return episodes.init(ENV, jax.random.key(0), ENV.params, num_envs)


def run(state, rewards, bank=BANK, **params):
    """Step once per row of `rewards` [T][B]; every state and every outcome."""
    params = ENV.params | {name: jnp.int32(value) for name, value in params.items()}
    states, outcomes = [], []
    for seed, row in enumerate(rewards):
        action = jnp.array(row, jnp.float32)[:, None]
        state, outcome = STEP(jax.random.key(seed), state, action, params, bank)
        states.append(state)
        outcomes.append(outcome)
    return states, outcomes


def flags(outcomes, name):
    return [[bool(x) for x in getattr(outcome, name)] for outcome in outcomes]


def test_worlds_and_bank_start_apart():
    state = start()
    origins = [*state.obs[:, 0], *BANK[1][:, 0]]
    assert len(set(map(float, origins))) == 6
    np.testing.assert_array_equal(state.obs[:, 1], [0, 0])
    assert state.age.dtype == jnp.int32


def test_the_successor_is_the_true_one():
    first = start()
    (_, last), (one, two) = run(first, [[1, 1]] * 2, end=2)
    np.testing.assert_array_equal(one.next_obs, jnp.stack([first.obs[:, 0], jnp.ones(2)], -1))
    np.testing.assert_array_equal(two.next_obs, jnp.stack([first.obs[:, 0], 2 * jnp.ones(2)], -1))
    assert two.terminated.all()
    np.testing.assert_array_equal(last.obs[:, 1], [0, 0])  # while what comes next is a new start
    np.testing.assert_array_equal(last.world[1], [0, 0])
    np.testing.assert_array_equal(last.world[0], last.obs[:, 0])


def test_without_an_end_the_observation_is_the_successor():
    (state,), (outcome,) = run(start(), [[1, 1]])
    np.testing.assert_array_equal(state.obs, outcome.next_obs)


def test_the_clock_truncates_and_starts_again():
    states, outcomes = run(start(), [[1, 1]] * 6)
    assert flags(outcomes, "truncated") == [[False] * 2, [False] * 2, [True] * 2] * 2
    assert flags(outcomes, "terminated") == [[False] * 2] * 6
    assert [int(s.age[0]) for s in states] == [1, 2, 0, 1, 2, 0]


def test_termination_before_the_limit_resets_one_world_only():
    states, outcomes = run(start(), [[1, 1], [-1, 1], [1, 1]])
    assert flags(outcomes, "terminated") == [[False] * 2, [True, False], [False] * 2]
    assert flags(outcomes, "truncated") == [[False] * 2, [False] * 2, [False, True]]
    np.testing.assert_array_equal(states[1].age, [0, 2])


def test_termination_wins_over_the_clock():
    _, outcomes = run(start(), [[1, 1]] * LIMIT, end=LIMIT)
    assert flags(outcomes, "terminated")[-1] == [True, True]
    assert flags(outcomes, "truncated")[-1] == [False, False]


def test_fresh_starts_come_from_the_bank():
    banked = set(np.asarray(BANK[1][:, 0]).tolist())
    (after,), _ = run(start(num_envs=32), [[-1] * 32])
    drawn = set(np.asarray(after.obs[:, 0]).tolist())
    assert drawn <= banked
    assert len(drawn) > 1  # each world draws for itself
    np.testing.assert_array_equal(after.world[0], after.obs[:, 0])


def test_another_bank_gives_other_starts():
    other = episodes.starts(ENV, jax.random.key(5), ENV.params, 4)
    old, new = (set(np.asarray(bank[1][:, 0]).tolist()) for bank in (BANK, other))
    assert len(new) == 4 and not old & new
    (after,), _ = run(start(), [[-1, -1]], bank=other)
    assert set(np.asarray(after.obs[:, 0]).tolist()) <= new


def test_statistics_by_hand():
    assert {k: float(v) for k, v in episodes.statistics(start()).items()} == {
        "agent/return": 0.0,
        "agent/length": 0.0,
    }
    # World 0: 2 - 1 ends at step 2, then 5 is in progress. World 1: 1 + 1 + 4 ends at step 3.
    states, _ = run(start(), [[2, 1], [-1, 1], [5, 4]])
    means = [episodes.statistics(s) for s in states]
    assert [float(m["agent/return"]) for m in means] == [0.0, 1.0, 3.5]  # (1 + 6) / 2
    assert [float(m["agent/length"]) for m in means] == [0.0, 2.0, 2.5]  # (2 + 3) / 2
    np.testing.assert_array_equal(states[-1].episode_return, [5.0, 0.0])


@pytest.mark.parametrize("end", [NEVER, 2])
def test_divergence_is_cut_at_the_last_finite_observation(end):
    first = start()
    states, outcomes = run(first, [[7, 7], [8, 8]], broken=2, end=end)
    cut = outcomes[-1]
    np.testing.assert_array_equal(cut.next_obs, states[0].obs)
    np.testing.assert_array_equal(cut.reward, [0, 0])
    assert cut.truncated.all() and not cut.terminated.any()
    assert jnp.isfinite(states[-1].obs).all()
    np.testing.assert_array_equal(states[-1].world[1], [0, 0])
    np.testing.assert_array_equal(states[-1].last_return, [7, 7])


def test_a_reward_that_is_no_number_cuts_only_its_world():
    states, (_, cut) = run(start(), [[1, 1], [np.inf, 1]])
    np.testing.assert_array_equal(cut.truncated, [True, False])
    np.testing.assert_array_equal(cut.reward, [0, 1])
    np.testing.assert_array_equal(states[-1].age, [0, 2])


def test_step_keeps_every_type():
    state = start()
    action = jnp.zeros((2, 1))
    after, _ = jax.eval_shape(STEP, jax.random.key(0), state, action, ENV.params, BANK)
    before = jax.eval_shape(lambda: state)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)


def test_every_other_environment_restarts_at_the_rate_and_none_of_those_completes():
    state = start(num_envs=8000)
    practises = np.arange(8000) % 2 == 1
    step = jax.jit(functools.partial(episodes.step, ENV))
    action, keys = jnp.ones((8000, 1)), jax.random.split(jax.random.key(3))
    state, outcome = step(keys[0], state, action, ENV.params, BANK, 0.25)
    cut = np.asarray(outcome.truncated)
    # 4000 x 0.25 = 1000, standard deviation 27: five of them either way
    assert 865 < cut.sum() < 1135 and not cut[~practises].any()
    assert not state.has_completed.any() and not outcome.terminated.any()
    np.testing.assert_array_equal(state.age, np.where(cut, 0, 1))
    np.testing.assert_array_equal(state.episode_return, np.where(cut, 0.0, 1.0))
    np.testing.assert_array_equal(outcome.next_obs[:, 1], 1)  # the successor, not the new start
    state, outcome = step(keys[1], state, action, ENV.params | {"end": jnp.int32(2)}, BANK, 1.0)
    np.testing.assert_array_equal(outcome.terminated, ~cut)  # what ends by itself is terminated
    np.testing.assert_array_equal(state.has_completed, ~practises)
    assert episodes.statistics(state)["agent/return"] == 2.0
    state, _ = step(keys[1], start(num_envs=2), action[:2], ENV.params | {"end": 1}, BANK, 0.0)
    assert state.has_completed.all()
    state, _ = step(keys[1], state, action[:2], ENV.params, BANK, 0.25)
    np.testing.assert_array_equal(state.has_completed, [True, False])  # what it did is old by now
