"""Shaping terms: by hand, along episodes, and what they do to optimal policies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.errors import UserError
from evil.rewards import combine, fixed, potential
from evil.seams import Environment, Spec, Transition

GAMMA = 0.9
SPEC = Spec(name="line", obs_shape=(2,), time_limit=10, num_actions=3)
ENV = Environment(spec=SPEC, params=(), reset=None, step=None)


def rollout(key, steps=12, batch=3, ends=()):
    """Random transitions `[T, B]` whose observations follow each other; `ends` terminate."""
    keys = jax.random.split(key, 3)
    obs = jax.random.normal(keys[0], (steps + 1, batch, 2))
    terminated = jnp.zeros((steps, batch), bool).at[jnp.array(ends, int)].set(True)
    return Transition(
        obs=obs[:-1],
        action=jax.random.randint(keys[1], (steps, batch), 0, 3),
        next_obs=obs[1:],
        reward=jax.random.normal(keys[2], (steps, batch)),
        terminated=terminated,
        truncated=jnp.zeros((steps, batch), bool),
    )


def bound(**changes):
    """A potential with random weights, and its parameters."""
    made = potential.make(potential.Config(hidden=(8,), **changes), ENV)
    network = made.init(jax.random.key(1))
    network = jax.tree.map(
        lambda x: x + 0.5 * jax.random.normal(jax.random.key(x.size), x.shape), network
    )
    width = 5 if changes.get("inputs") == "sa" else 2
    return made, potential.parameters(network, jnp.zeros(width), jnp.ones(width), GAMMA)


def apply(made, params, steps):
    return made.score.apply(params, made.score.memory(steps.reward.shape[1]), steps)[0]


def discounted(terms):
    return np.sum(GAMMA ** np.arange(len(terms))[:, None] * np.asarray(terms), axis=0)


def test_terms_by_hand():
    before, after = jnp.array([1.0, 2.0]), jnp.array([3.0, 5.0])
    ended, first = jnp.array([False, True]), jnp.array([True, False])
    np.testing.assert_allclose(
        potential.canonical(before, after, ended, 0.5), [0.5 * 3 - 1, -2.0], rtol=1e-6
    )
    np.testing.assert_allclose(
        potential.published(before, after, ended, first, 0.5), [3.0, -1.0], rtol=1e-6
    )


def test_look_back_by_hand():
    values = jnp.array([[1.0], [2.0], [4.0], [8.0]])
    ended = jnp.array([[False], [True], [False], [False]])
    cut = ended | jnp.array([[False], [False], [True], [False]])
    terms, last = potential.look_back(values, jnp.array([3.0]), cut, ended, 0.5)
    # 1 - 3/.5; the step that terminates counts 0: 0 - 1/.5; a new episode: 4; and after a cut: 8
    np.testing.assert_allclose(terms[:, 0], [-5.0, -2.0, 4.0, 8.0])
    np.testing.assert_allclose(last, [8.0])


def test_a_new_potential_is_zero(key):
    made = potential.make(potential.Config(), ENV)
    params = potential.parameters(made.init(key), jnp.zeros(2), jnp.ones(2), GAMMA)
    np.testing.assert_array_equal(apply(made, params, rollout(key)), 0.0)


def test_the_canonical_sum_telescopes(key):
    made, params = bound()
    steps = rollout(key)
    phi = made.value(params, steps)
    end = made.value(params, dataclasses.replace(steps, obs=steps.next_obs))[-1]
    expected = GAMMA ** len(phi) * end - phi[0]
    np.testing.assert_allclose(discounted(apply(made, params, steps)), expected, atol=1e-5)
    # An episode that terminates leaves nothing but -Φ of where it began.
    ended = rollout(key, ends=(-1,))
    np.testing.assert_allclose(discounted(apply(made, params, ended)), -phi[0], atol=1e-5)
    # One that was cut by the clock keeps Φ of where it was.
    cut = dataclasses.replace(steps, truncated=ended.terminated)
    np.testing.assert_allclose(discounted(apply(made, params, cut)), expected, atol=1e-5)


def test_look_back_telescopes_across_rollouts(key):
    made, params = bound(inputs="sa")
    steps = rollout(key, steps=12, ends=(-1,))
    np.testing.assert_allclose(discounted(apply(made, params, steps)), 0.0, atol=1e-5)
    parts = [jax.tree.map(lambda x, part=part: x[part], steps) for part in (slice(5), slice(5, 12))]
    memory, terms = made.score.memory(3), []
    for part in parts:
        found, memory = made.score.apply(params, memory, part)
        terms.append(found)
    np.testing.assert_allclose(np.concatenate(terms), apply(made, params, steps), rtol=1e-5)


def test_the_published_term_leaves_a_reward_behind(key):
    made, params = bound(form="evil_compat")
    steps = rollout(key, ends=(-1,))
    phi = np.array(made.value(params, steps))
    left = sum((GAMMA**t - GAMMA ** (t + 2)) * phi[t + 1] for t in range(len(phi) - 1))
    np.testing.assert_allclose(discounted(apply(made, params, steps)), left, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", ["s", "sa", "next_s"])
def test_the_additive_term_is_the_network(inputs, key):
    made, params = bound(form="additive", inputs=inputs)
    steps = rollout(key)
    np.testing.assert_allclose(apply(made, params, steps), made.value(params, steps), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "canonicl"}, "did you mean canonical"),
        ({"inputs": "a"}, "unknown potential inputs"),
        ({"inputs": "next_s"}, "expected inputs s or sa, found next_s"),
        ({"inputs": "sa", "form": "evil_compat"}, "expected inputs s, found sa"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        potential.make(potential.Config(**changes), ENV)


# Where the term goes.


@pytest.mark.parametrize("scaled", [False, True])
def test_shaped_rewards(scaled, key):
    made, params = bound()
    steps = rollout(key)
    score = combine.shaped(fixed.real(), made.score, scaled=scaled)
    both = {"reward": (), "shaping": params}
    rewards, _ = score.apply(both, score.memory(3), steps)
    terms = apply(made, params, steps)
    if scaled:
        assert score.bonus is None
        np.testing.assert_allclose(rewards, steps.reward + terms, rtol=1e-6)
    else:
        np.testing.assert_array_equal(rewards, steps.reward)
        bonus, _ = score.bonus.apply(both, score.bonus.memory(3), steps)
        np.testing.assert_array_equal(bonus, terms)


# What optimal policies make of it: a 5 x 5 grid with a goal, exactly.

SIZE = 5
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
GOAL = 4


def greedy(shaping):
    """The optimal actions of every cell, for reward 1 at the goal, which ends the episode."""
    cells = [(row, column) for row in range(SIZE) for column in range(SIZE)]
    following = np.array(
        [
            [
                SIZE * min(max(row + up, 0), SIZE - 1) + min(max(column + right, 0), SIZE - 1)
                for up, right in MOVES
            ]
            for row, column in cells
        ]
    )
    ends = following == GOAL
    reward = ends + shaping(following, ends)
    values = np.zeros(SIZE**2)
    for _ in range(400):
        quality = reward + GAMMA * np.where(ends, 0.0, values[following])
        values = quality.max(axis=1)
    return quality >= values[:, None] - 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_random_potentials_change_no_optimal_policy(seed):
    phi = np.random.default_rng(seed).normal(size=SIZE**2) * 3
    here = np.broadcast_to(phi[:, None], (SIZE**2, len(MOVES)))

    def canonical(following, ends):
        with jax.enable_x64(True):
            return np.asarray(potential.canonical(here, phi[following], ends, GAMMA))

    def published(following, ends):
        first = np.zeros_like(ends)
        return np.asarray(potential.published(here, phi[following], ends, first, GAMMA))

    plain = greedy(lambda following, ends: 0.0)
    np.testing.assert_array_equal(greedy(canonical), plain)
    assert (greedy(published) != plain).any()
