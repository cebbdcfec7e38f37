"""Every strategy climbs, in the direction that is up here, over trees of weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.errors import UserError
from evil.shaping import strategies

TARGET = {"a": jnp.array([0.5, -0.25]), "b": {"c": jnp.full((2, 2), 0.3)}}
START = jax.tree.map(jnp.zeros_like, TARGET)


def distance(tree):
    gaps = jax.tree.map(lambda x, y: jnp.sum((x - y) ** 2), tree, TARGET)
    return sum(jax.tree.leaves(gaps))


@pytest.mark.parametrize("name", strategies.NAMES)
def test_every_strategy_climbs(name, key):
    config = strategies.Config(name=name, population=16, std=0.1, learning_rate=0.03, momentum=0.9)
    strategy = strategies.make(config, TARGET)

    def generation(state, key):
        key_ask, key_tell = jax.random.split(key)
        members, state = strategy.ask(key_ask, state)
        fitness = -jax.vmap(distance)(members)
        return strategy.tell(key_tell, state, members, fitness), fitness.mean()

    start = jax.jit(strategy.init)(key, START)
    assert jax.eval_shape(lambda s, k: generation(s, k)[0], start, key) == jax.eval_shape(
        lambda s: s, start
    )
    state, _ = jax.lax.scan(generation, start, jax.random.split(key, 150))
    assert distance(strategy.mean(state)) < 0.1 * distance(START)


def test_pairs_are_antithetic(key):
    strategy = strategies.make(strategies.Config(population=6), TARGET)
    members, _ = strategy.ask(key, strategy.init(key, START))
    np.testing.assert_allclose(members["a"][:3], -members["a"][3:], atol=1e-7)
    np.testing.assert_allclose(members["a"].std(), 0.03, rtol=0.8)


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match="expected an even population, found 7"):
        strategies.make(strategies.Config(population=7), TARGET)
    with pytest.raises(UserError, match="did you mean openes"):
        strategies.make(strategies.Config(name="open_es"), TARGET)
    strategies.make(strategies.Config(name="snes", population=7), TARGET)  # has no pairs
