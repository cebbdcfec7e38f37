"""Full episodes of a world that counts: every return and every length is known from the start."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.evaluation import episodes
from evil.seams import Environment, Policy, Score, Spec, Step

LIMIT = 4
COUNT = 32
NEVER = 1000


def reset(key, params):
    """An episode that will terminate at step 1 to 6, if the clock allows."""
    end = jax.random.randint(key, (), 1, 7)
    return (end, jnp.zeros((), jnp.int32)), observe(end, jnp.zeros((), jnp.int32))


def observe(end, count):
    return jnp.stack([end, count]).astype(jnp.float32)


def step(key, state, action, params):
    """Pay the number of the step, plus a bonus per action."""
    end, count = state[0], state[1] + 1
    obs = jnp.where(count == params["no_obs"], jnp.nan, observe(end, count))
    reward = jnp.where(count == params["no_reward"], jnp.inf, count.astype(jnp.float32))
    return (end, count), Step(
        next_obs=obs,
        reward=reward + params["bonus"] * action,
        terminated=count >= end,
        truncated=jnp.zeros((), bool),
    )


ENV = Environment(
    spec=Spec(name="counting", obs_shape=(2,), time_limit=LIMIT, num_actions=100),
    params={
        "no_obs": jnp.int32(NEVER),
        "no_reward": jnp.int32(NEVER),
        "bonus": jnp.float32(0.0),
    },
    reset=reset,
    step=step,
)


def act(params, obs, key, memory):
    """Play the number of actions so far, plus `params`."""
    return memory + params, memory + 1


POLICY = Policy(params=jnp.int32(10), act=act, memory=lambda batch: jnp.zeros(batch, jnp.int32))
PLAY = jax.jit(lambda key, physics: episodes.play(ENV, POLICY, key, COUNT, physics=physics))
RETURNS = jax.jit(lambda key, physics: episodes.returns(ENV, POLICY, key, COUNT, physics=physics))


def physics(**changes):
    return ENV.params | {k: jnp.asarray(v, ENV.params[k].dtype) for k, v in changes.items()}


def ends(played):
    """At which step each episode would terminate."""
    return np.asarray(played.obs[:, 0, 0], int)


def test_episodes_end_when_their_task_or_their_time_ends(key):
    played = PLAY(key, ENV.params)
    end = ends(played)
    assert set(end) == {1, 2, 3, 4, 5, 6}
    length = np.minimum(end, LIMIT)
    np.testing.assert_array_equal(played.length, length)
    np.testing.assert_array_equal(played.terminated, end <= LIMIT)  # at the limit too
    # 1 + 2 + ... + length, and nothing after
    np.testing.assert_array_equal(played.reward.sum(1), length * (length + 1) / 2)
    steps = np.arange(1, LIMIT + 1)
    np.testing.assert_array_equal(played.reward, np.where(steps <= length[:, None], steps, 0))


def test_observations_are_aligned(key):
    played = PLAY(key, ENV.params)
    assert played.obs.shape == (COUNT, LIMIT + 1, 2)
    assert played.action.shape == (COUNT, LIMIT)
    # obs[t] is what action t saw, obs[t + 1] its successor; after the end the last one stays.
    expected = np.minimum(np.arange(LIMIT + 1)[None], np.asarray(played.length)[:, None])
    np.testing.assert_array_equal(played.obs[:, :, 1], expected)
    np.testing.assert_array_equal(played.obs[:, :, 0], ends(played)[:, None].repeat(LIMIT + 1, 1))


def test_the_policy_remembers_and_has_parameters(key):
    played = PLAY(key, ENV.params)
    np.testing.assert_array_equal(played.action, np.tile([10, 11, 12, 13], (COUNT, 1)))


def test_returns_are_those_of_play(key):
    played = PLAY(key, ENV.params)
    total, length = RETURNS(key, ENV.params)
    np.testing.assert_array_equal(total, played.reward.sum(1))
    np.testing.assert_array_equal(length, played.length)


@pytest.mark.parametrize("broken", [None, "no_obs"])
def test_another_reward_judges_the_same_steps(broken, key):
    world = physics(**{broken: 3}) if broken else ENV.params

    def pay(params, carry, steps):
        """Each step its number in the episode, so far, times what it is worth."""
        assert steps.obs.shape == (1, COUNT, 2)
        return params * (carry[None] + steps.next_obs[..., 1]), carry + 1.0

    score = Score(apply=pay, memory=jnp.zeros)
    true, recovered = jax.jit(
        lambda params: episodes.judged(ENV, POLICY, key, COUNT, score, params, physics=world)
    )(3.0)
    expected, length = RETURNS(key, world)
    np.testing.assert_array_equal(true, expected)
    # 3 · (0 + 1), 3 · (1 + 2), 3 · (2 + 3), ...
    np.testing.assert_allclose(recovered, 3.0 * np.asarray(length) ** 2)


def test_physics_reach_the_world(key):
    length = np.asarray(PLAY(key, ENV.params).length)
    total, found = RETURNS(key, physics(bonus=2.0))
    np.testing.assert_array_equal(found, length)
    # plus 2 · (10 + 11 + ...), and nothing for actions after the end
    bonus = 2 * (10 * length + length * (length - 1) / 2)
    np.testing.assert_array_equal(total, length * (length + 1) / 2 + bonus)


def test_the_default_physics_are_the_environments(key):
    other = dataclasses.replace(ENV, params=physics(bonus=1.0))
    total, _ = episodes.returns(other, POLICY, key, COUNT)
    np.testing.assert_array_equal(total, RETURNS(key, physics(bonus=1.0))[0])


@pytest.mark.parametrize("broken", ["no_obs", "no_reward"])
def test_divergence_ends_an_episode_before_it_counts(broken, key):
    played = PLAY(key, physics(**{broken: 3}))
    end = ends(played)
    diverged = end >= 3  # those that reach step 3 count only steps 1 and 2
    length = np.where(diverged, 2, end)
    np.testing.assert_array_equal(played.length, length)
    np.testing.assert_array_equal(played.terminated, ~diverged)
    np.testing.assert_array_equal(played.reward.sum(1), length * (length + 1) / 2)
    assert jnp.isfinite(played.obs).all() and jnp.isfinite(played.reward).all()
    np.testing.assert_array_equal(played.obs[diverged, -1, 1], 2)
    total, found = RETURNS(key, physics(**{broken: 3}))
    np.testing.assert_array_equal(found, length)
    np.testing.assert_array_equal(total, length * (length + 1) / 2)


def test_the_same_key_is_the_same_episodes(key):
    first, again = PLAY(key, ENV.params), PLAY(key, ENV.params)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = PLAY(jax.random.key(1), ENV.params)
    assert (ends(first) != ends(other)).any()


def test_random_vectors_fill_the_bounds(key):
    spec = dataclasses.replace(
        ENV.spec,
        num_actions=None,
        action_size=2,
        action_low=(-1.0, 2.0),
        action_high=(1.0, 6.0),
    )
    policy = episodes.random_policy(dataclasses.replace(ENV, spec=spec))
    actions, memory = policy.act(policy.params, jnp.zeros((1000, 2)), key, policy.memory(1000))
    assert actions.shape == (1000, 2) and memory == ()
    actions, low, high = map(np.asarray, (actions, spec.action_low, spec.action_high))
    assert (actions >= low).all() and (actions <= high).all()
    np.testing.assert_allclose(np.min(actions, 0), low, atol=0.03)
    np.testing.assert_allclose(np.max(actions, 0), high, atol=0.03)
    np.testing.assert_allclose(np.mean(actions, 0), [0.0, 4.0], atol=0.15)


def test_random_indices_cover_the_actions(key):
    spec = dataclasses.replace(ENV.spec, obs_shape=(3, 3), num_actions=4)
    policy = episodes.random_policy(dataclasses.replace(ENV, spec=spec))
    actions, _ = policy.act(policy.params, jnp.zeros((1000, 3, 3)), key, ())
    assert actions.shape == (1000,)
    np.testing.assert_allclose(np.bincount(actions) / 1000, [0.25] * 4, atol=0.06)
