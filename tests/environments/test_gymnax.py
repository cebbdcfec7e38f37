"""Numbers by hand for the Gymnax adapter."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.environments import gymnax
from evil.errors import UserError


@pytest.fixture(scope="module")
def cartpole():
    return gymnax.make("CartPole-v1")


def tilted(env, angle, speed):
    state, _ = env.reset(jax.random.key(0), env.params)
    zero = jnp.float32(0.0)
    return dataclasses.replace(
        state, x=zero, x_dot=zero, theta=jnp.float32(angle), theta_dot=jnp.float32(speed)
    )


@pytest.mark.parametrize(("angle", "falls"), [(0.18, False), (0.20, True)])
def test_cartpole_falls_at_twelve_degrees(cartpole, angle, falls):
    # theta' = theta + 0.02 * 1 with the limit at 12 degrees = 0.2094
    state = tilted(cartpole, angle, 1.0)
    _, step = jax.jit(cartpole.step)(jax.random.key(0), state, jnp.int32(1), cartpole.params)
    assert bool(step.terminated) is falls
    assert step.next_obs[2] == pytest.approx(angle + 0.02)
    assert step.reward == 1.0
    assert cartpole.spec.landmark == (2, "pole angle")


def test_a_fallen_pole_earns_nothing_more(cartpole):
    state = tilted(cartpole, 0.3, 0.0)
    _, step = jax.jit(cartpole.step)(jax.random.key(0), state, jnp.int32(1), cartpole.params)
    assert step.terminated and step.reward == 0.0


def test_physics_are_data_and_may_be_batched(cartpole):
    limits = jnp.array([0.1, 0.3])
    params = jax.tree.map(lambda x: jnp.stack([x, x]), cartpole.params)
    params = dataclasses.replace(params, theta_threshold_radians=limits)
    state = jax.tree.map(lambda x: jnp.stack([x, x]), tilted(cartpole, 0.18, 1.0))
    keys = jax.random.split(jax.random.key(0), 2)
    step = jax.jit(jax.vmap(cartpole.step))
    _, outcome = step(keys, state, jnp.array([1, 1], jnp.int32), params)
    np.testing.assert_array_equal(outcome.terminated, [True, False])


@pytest.mark.parametrize(("torque", "speed"), [(2.0, 0.3), (10.0, 0.75)])
def test_pendulum_clips_by_its_parameters(torque, speed):
    # upright and still: speed' = 3 / (m l^2) * clip(5) * dt = 3 * clip(5) * 0.05
    env = gymnax.make("Pendulum-v1")
    state, _ = env.reset(jax.random.key(0), env.params)
    state = dataclasses.replace(state, theta=jnp.float32(0), theta_dot=jnp.float32(0))
    params = dataclasses.replace(env.params, max_torque=jnp.float32(torque))
    _, step = jax.jit(env.step)(jax.random.key(0), state, jnp.array([5.0]), params)
    assert step.next_obs[2] == pytest.approx(speed)
    assert step.reward == pytest.approx(-0.001 * min(torque, 5.0) ** 2)


def test_spaces_become_specs():
    pendulum = gymnax.make("Pendulum-v1").spec
    assert (pendulum.action_size, pendulum.num_actions) == (1, None)
    assert (pendulum.action_low, pendulum.action_high) == ((-2.0,), (2.0,))  # from a scalar
    reacher = gymnax.make("Reacher-misc").spec
    assert (reacher.action_low, reacher.action_high) == ((-1.0, -1.0), (1.0, 1.0))
    breakout = gymnax.make("Breakout-MinAtar").spec
    assert (breakout.obs_shape, breakout.num_actions) == ((10, 10, 4), 3)
    assert breakout.action_low == ()
    assert gymnax.make("BernoulliBandit-misc").spec.time_limit == 100  # a float in gymnax


def test_discrete_observations_are_one_hot():
    env = gymnax.make("FrozenLake-misc")
    state, obs = env.reset(jax.random.key(0), env.params)
    np.testing.assert_array_equal(obs, np.eye(16)[0])
    # One tile left of the goal, whose four-by-four lake slips: find a key that moves right.
    state = dataclasses.replace(state, position=jnp.int32(14))
    keys = jax.random.split(jax.random.key(0), 32)
    step = jax.jit(jax.vmap(env.step, (0, None, None, None)))
    _, outcome = step(keys, state, jnp.int32(2), env.params)
    reached = np.asarray(outcome.next_obs.argmax(-1)) == 15
    assert 0 < reached.sum() < 32
    np.testing.assert_array_equal(outcome.terminated, reached)
    np.testing.assert_array_equal(outcome.reward, reached.astype(np.float32))


def test_spaces_without_an_array_are_refused(monkeypatch):
    class Odd:
        pass

    raw, params = gymnax._construct("CartPole-v1")
    monkeypatch.setattr(raw, "observation_space", lambda params: Odd())
    monkeypatch.setattr(gymnax, "_construct", lambda name: (raw, params))
    with pytest.raises(UserError, match="observations in Odd"):
        gymnax.make("CartPole-v1")
