"""EPIC on a world small enough to enumerate: what may not change it, and what must."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.evaluation import distances
from evil.seams import Environment, Policy, Spec, Step

DISCOUNT = 0.9
NUM_STATES = 5


def observe(position):
    return jax.nn.one_hot(position, NUM_STATES)


def reset(key, params):
    position = jax.random.randint(key, (), 0, NUM_STATES)
    return position, observe(position)


def step(key, position, action, params):
    """A ring of five places; paid by place and action."""
    following = (position + action) % NUM_STATES
    return following, Step(
        next_obs=observe(following),
        reward=table(observe(position), action),
        terminated=jnp.zeros((), bool),
        truncated=jnp.zeros((), bool),
    )


def table(obs, action):
    values = jnp.asarray([[0.0, 1.0], [2.0, -1.0], [0.5, 0.3], [-2.0, 4.0], [1.0, 1.0]])
    return jnp.take_along_axis(obs @ values, action[..., None], axis=-1)[..., 0]


RING = Environment(
    spec=Spec(name="ring", obs_shape=(NUM_STATES,), time_limit=7, num_actions=2),
    params=(),
    reset=reset,
    step=step,
)
STAY = Policy(params=(), act=lambda params, obs, key, memory: (jnp.zeros(len(obs), int), memory))


@pytest.fixture(scope="module")
def probe():
    return distances.explore(
        RING, (STAY,), jax.random.key(0), num_worlds=16, num_steps=16, num_actions=64
    )


def real(steps):
    return steps.reward


def learned(steps):
    return table(steps.obs, steps.action)


def test_shapes(probe):
    assert probe.steps.reward.shape == (2 * 256,)
    assert probe.before.obs.shape == probe.after.obs.shape == (2 * 256, 64, NUM_STATES)
    # Trials begin where the step began, and where it ended: for the last steps of episodes, too.
    np.testing.assert_array_equal(probe.before.obs[:, 0], probe.steps.obs)
    np.testing.assert_array_equal(probe.after.obs[:, 0], probe.steps.next_obs)


def test_a_reward_is_itself_at_any_scale(probe):
    scaled = lambda steps: 3.0 * learned(steps) + 7.0  # noqa: E731
    # sqrt((1 - ρ) / 2): rounding of ρ by 1e-7 is a distance of 2e-4.
    assert distances.epic(real, scaled, probe, discount=DISCOUNT) < 1e-3
    opposite = lambda steps: -learned(steps)  # noqa: E731
    assert distances.epic(real, opposite, probe, discount=DISCOUNT) > 1.0 - 1e-3


def test_a_state_potential_makes_no_difference(probe):
    potential = jnp.asarray([3.0, -5.0, 0.0, 8.0, 1.0])

    def shaped(steps):
        gain = DISCOUNT * (steps.next_obs @ potential) - steps.obs @ potential
        return learned(steps) + gain

    def misshaped(steps):
        gain = steps.next_obs @ potential - DISCOUNT * (steps.obs @ potential)
        return learned(steps) + gain

    assert distances.epic(real, shaped, probe, discount=DISCOUNT) < 2e-3
    assert distances.epic(real, misshaped, probe, discount=DISCOUNT) > 0.1
    assert distances.pearson_distance(probe.steps.reward, shaped(probe.steps)) > 0.1


def test_another_reward_is_elsewhere(probe):
    other = lambda steps: steps.obs[..., 0]  # noqa: E731
    assert 0.2 < distances.epic(real, other, probe, discount=DISCOUNT) < 0.9


def test_a_constant_tells_nothing(probe):
    constant = lambda steps: jnp.ones_like(steps.reward)  # noqa: E731
    assert distances.epic(real, constant, probe, discount=DISCOUNT) == pytest.approx(0.5**0.5)


def test_canonical_by_hand():
    found = distances.canonical(
        jnp.asarray([1.0, 2.0]),
        jnp.asarray([[0.0, 2.0], [4.0, 0.0]]),
        jnp.asarray([[1.0, 1.0], [0.0, 6.0]]),
        discount=0.5,
    )
    # means before 1, 2 (1.5 in all), after 1, 3
    np.testing.assert_allclose(found, [1 + 0.5 - 1 - 0.75, 2 + 1.5 - 2 - 0.75])
