"""Drawn worlds: the reference's own draws, models that hold them, and lanes that differ."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import environments
from evil.environments import brax, dynamics, tremble
from evil.errors import UserError

# From the reference's generator, to the digits that are printed: seeds 0 to 4.
HOPPER = [
    (0.06098, 0.2034, 0.04206, 0.2518, 0.04847, 0.2323, 0.04875, 0.2446, -2.456),
    (0.05834, 0.2036, 0.0300, 0.2421, 0.04294, 0.2046, 0.04373, 0.2173, -2.654),
    (0.05872, 0.1765, 0.04099, 0.2474, 0.04841, 0.2165, 0.04409, 0.231, -2.688),
    (0.06102, 0.2031, 0.03582, 0.2504, 0.05786, 0.2448, 0.04251, 0.2104, -2.775),
    (0.06934, 0.1968, 0.04945, 0.2586, 0.05395, 0.2108, 0.05953, 0.2003, -2.704),
]
WALKER = [
    (0.06098, 0.1043, 0.06206, 0.1009, 0.03847, 0.2558, 0.03875, 0.2657, 0.05927, 0.2192,
     0.05583, 0.2264, -2.642, -2.768),
    (0.05834, 0.1044, 0.0500, 0.09605, 0.03294, 0.2337, 0.03373, 0.2438, 0.04794, 0.2269,
     0.04838, 0.2343, -2.515, -2.783),
    (0.05872, 0.09052, 0.06099, 0.09871, 0.03841, 0.2432, 0.03409, 0.2548, 0.04599, 0.2133,
     0.05242, 0.2265, -2.49, -2.728),
    (0.06102, 0.1042, 0.05582, 0.1002, 0.04786, 0.2659, 0.03251, 0.2383, 0.04103, 0.222,
     0.0406, 0.2228, -2.67, -2.556),
    (0.06934, 0.1009, 0.06945, 0.1043, 0.04395, 0.2386, 0.04953, 0.2302, 0.04506, 0.2217,
     0.05559, 0.2099, -2.745, -2.735),
]  # fmt: skip


@pytest.mark.parametrize(("name", "published"), [("hopper", HOPPER), ("walker2d", WALKER)])
@pytest.mark.parametrize("seed", range(5))
def test_the_published_draws(name, published, seed):
    drawn = dynamics.draw(name, seed)
    found = [
        number
        for (element, _, _), numbers in drawn.items()
        for number in (numbers if element == "geom" else numbers[:1])
    ]
    np.testing.assert_allclose(found, published[seed], rtol=5e-4)


@pytest.mark.parametrize("name", dynamics.BODIES)
def test_limits_never_cross(name):
    for seed in range(20):
        for (_, _, attribute), numbers in dynamics.draw(name, seed).items():
            assert attribute != "range" or numbers[0] <= numbers[1]


@pytest.mark.parametrize("name", dynamics.BODIES)
def test_every_quantity_is_in_the_model(name):
    xml = brax.model(name)
    assert dynamics.edited(xml, dynamics.draw(name, 0)) != xml


def test_the_models_own_numbers_change_nothing():
    xml = brax.model("hopper")
    own = {("geom", "foot_geom", "size"): (0.06, 0.195)}
    first, second = (dynamics._fields(brax.load(text)) for text in (xml, dynamics.edited(xml, own)))
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_bodies_are_data():
    env = environments.make("hopper")
    worlds = dynamics.bodies(env, (0, 3))
    assert {"geom_size", "link.inertia.mass"} <= set(worlds)
    np.testing.assert_allclose(worlds["geom_size"][:, -1, 0], [0.06098, 0.06102], rtol=5e-4)

    @jax.jit
    def fall(params, key):
        def advance(state, key):
            state, step = env.step(key, state, jnp.zeros(3), params)
            return state, step.next_obs

        state, _ = env.reset(key, params)
        return jax.lax.scan(advance, state, jax.random.split(key, 20))[1]

    default = jax.tree.map(lambda x: x[0], worlds)
    obs = [
        fall(default, jax.random.key(0)),
        fall(jax.tree.map(lambda x: x[1], worlds), jax.random.key(0)),
    ]
    assert np.isfinite(obs).all()
    assert np.abs(obs[0] - obs[1]).max() > 1e-3
    assert fall._cache_size() == 1


@pytest.mark.parametrize("name", dynamics.CLASSICS)
def test_classics(name):
    env = environments.make(name)
    changed = dataclasses.replace(env.params, **dynamics.CLASSICS[name])
    assert jax.tree.leaves(changed) != jax.tree.leaves(env.params)


def test_what_has_no_body_is_refused():
    with pytest.raises(UserError, match="expected a Brax environment"):
        dynamics.bodies(environments.make("cartpole"), (0,))
    with pytest.raises(UserError, match="expected one of hopper"):
        dynamics.draw("swimmer", 0)


# Trembling.


@pytest.mark.parametrize("name", ["cartpole", "pendulum"])
def test_a_trembling_hand(name):
    env = environments.make(name)
    keys = jax.random.split(jax.random.key(0), 400)
    state, _ = env.reset(keys[0], env.params)
    action = jnp.ones((), jnp.int32) if env.spec.is_discrete else jnp.array([0.5])

    def following(probability):
        shaky = tremble.make(env, probability)
        return jax.vmap(lambda key: shaky.step(key, state, action, env.params)[1].next_obs)(keys)

    sure = env.step(keys[0], state, action, env.params)[1].next_obs
    np.testing.assert_allclose(following(0.0), jnp.broadcast_to(sure, (400, *sure.shape)))
    moved = (np.abs(following(0.4) - sure[None]) > 1e-7).any(axis=1).mean()
    expected = 0.4 * (0.5 if env.spec.is_discrete else 1.0)  # one of two random actions is the same
    assert abs(moved - expected) < 0.08


def test_no_probability_is_refused():
    with pytest.raises(UserError, match=r"found 1\.5"):
        tremble.make(environments.make("cartpole"), 1.5)
