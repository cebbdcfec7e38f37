"""Scaled worlds: every quantity by one factor, what belongs together by the same."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import environments
from evil.environments import dynamics, factors
from evil.errors import UserError


def test_draws_are_within_the_spread_and_repeat():
    drawn = [factors.draw(seed, 0.3) for seed in range(50)]
    values = np.array([list(one.values()) for one in drawn])
    assert values.min() >= 0.7 and values.max() <= 1.3 and values.std() > 0.1
    assert factors.draw(3, 0.3) == drawn[3]


def test_classics_keep_their_relations():
    env = environments.make("cartpole")
    worlds = factors.worlds(env, range(4))
    drawn = [factors.draw(seed, 0.3) for seed in range(4)]
    np.testing.assert_allclose(worlds.gravity, [9.8 * one["gravity"] for one in drawn], rtol=1e-6)
    np.testing.assert_allclose(worlds.force_mag, [10 * one["gear"] for one in drawn], rtol=1e-6)
    np.testing.assert_allclose(worlds.total_mass, worlds.masscart + worlds.masspole, rtol=1e-6)
    np.testing.assert_allclose(worlds.polemass_length, worlds.masspole * worlds.length, rtol=1e-6)
    np.testing.assert_array_equal(worlds.tau, np.full(4, np.float32(env.params.tau)))


def test_brax_worlds_differ_and_are_lanes_of_one_program():
    env = environments.make("hopper", "spring")
    worlds = factors.worlds(env, range(3), spread=0.5)
    own = dynamics.parameters(env)
    drawn = [factors.draw(seed, 0.5) for seed in range(3)]
    masses = np.stack([own["link.inertia.mass"] * one["mass"] for one in drawn])
    np.testing.assert_allclose(worlds["link.inertia.mass"], masses, rtol=1e-6)
    gears = np.stack([own["actuator.gear"] * one["gear"] for one in drawn])
    np.testing.assert_allclose(worlds["actuator.gear"], gears, rtol=1e-6)

    def fall(world):
        state, _ = env.reset(jax.random.key(0), world)
        for _ in range(3):
            state, step = env.step(jax.random.key(0), state, jnp.ones(3), world)
        return step.next_obs

    seen = np.asarray(jax.jit(jax.vmap(fall))(worlds))
    assert np.isfinite(seen).all()
    assert len({row.tobytes() for row in seen}) == 3


def test_no_spread_is_the_world_itself():
    env = environments.make("pendulum")
    (one,) = [jax.tree.map(lambda x: x[0], factors.worlds(env, [0], spread=0.0))]
    for name, value in dataclasses.asdict(one).items():
        np.testing.assert_allclose(value, getattr(env.params, name), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gridworld", {}, "no gravity, friction, mass or motors"),
        ("pendulum", {"spread": 1.0}, "found spread 1"),
    ],
)
def test_what_cannot_be_scaled_is_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        factors.worlds(environments.make(name), [0], **options)
