"""The kernel witness, against a double loop."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from evil.rewards import features, kernel
from tests.rewards.blobs import DEMOS, ENV, rows

RNG = np.random.default_rng(0)


def test_the_witness_is_a_double_loop():
    x, expert, agent = (RNG.normal(size=(n, 3)).astype(np.float32) for n in (4, 5, 6))
    widths = (0.5, 2.0)

    def k(a, b):
        return sum(np.exp(-np.sum((a - b) ** 2) / 3 / width) for width in widths)

    expected = [
        np.mean([k(row, e) for e in expert]) - np.mean([k(row, a) for a in agent]) for row in x
    ]
    found = kernel.witness(jnp.array(x), jnp.array(expert), jnp.array(agent), jnp.array(widths))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_bandwidth_is_a_median():
    x, y = (RNG.normal(size=(n, 3)).astype(np.float32) for n in (4, 5))
    every = [np.sum((a - b) ** 2) / 3 for a in x for b in y]
    np.testing.assert_allclose(kernel.bandwidth(x, y), np.median(every), rtol=1e-5)


CONFIG = kernel.Config(expert_rows=100, batch_size=50, bandwidth_updates=2)
MODEL = kernel.make(CONFIG, ENV)
UPDATE = jax.jit(MODEL.update)
START = jax.jit(MODEL.init)(jax.random.key(0), DEMOS)


PAY = jax.jit(lambda state, steps: MODEL.score.apply(MODEL.params(state), (), steps)[0])


def pay(state, steps):
    return np.asarray(PAY(state, steps))


def test_the_expert_is_paid_more_than_the_agent():
    state = START
    untouched = pay(state, rows(jax.random.key(1), 20))
    assert (untouched > 0).all()  # as long as no agent is known, nearness is all there is
    state, metrics = UPDATE(
        jax.random.key(0), state, rows(jax.random.key(1), 50, -1.0), rows(jax.random.key(2), 50)
    )
    assert metrics["reward/auc"] > 0.99
    assert pay(state, rows(jax.random.key(3), 20)).mean() > 0.5
    assert pay(state, rows(jax.random.key(3), 20, -1.0)).mean() < -0.5


def test_rewards_do_not_shrink_with_the_batch():
    """The published program divides them by its size."""
    sizes = []
    for size in (20, 200):
        model = kernel.make(kernel.Config(expert_rows=100, batch_size=size), ENV)
        agent, expert = rows(jax.random.key(1), size, -1.0), rows(jax.random.key(2), size)

        @jax.jit
        def gap(key, model=model, agent=agent, expert=expert):
            return model.update(key, model.init(key, DEMOS), agent, expert)[1]["reward/gap"]

        sizes.append(gap(jax.random.key(0)))
    np.testing.assert_allclose(*sizes, rtol=0.1)


def test_who_is_like_the_expert_is_paid_nothing():
    state = START
    state, _ = UPDATE(
        jax.random.key(0), state, rows(jax.random.key(1), 50), rows(jax.random.key(2), 50)
    )
    assert abs(pay(state, rows(jax.random.key(3), 200)).mean()) < 0.1


def test_the_bandwidth_of_the_agent_is_kept_after_a_while():
    state = START
    found = []
    for index, centre in enumerate((-1.0, 0.0, -5.0)):
        agent = rows(jax.random.key(index), 50, centre)
        state, _ = UPDATE(jax.random.key(0), state, agent, rows(jax.random.key(9), 50))
        found.append(float(state.bandwidths[1]))
    assert found[1] < found[0] and found[2] == found[1]
    assert state.bandwidths[0] < found[1]


def test_many_rows_are_scored_in_blocks():
    state = START
    many = rows(jax.random.key(1), 2 * kernel.BLOCK + 6)
    shaped = jax.tree.map(lambda x: x.reshape((2, -1, *x.shape[1:])), many)
    np.testing.assert_allclose(pay(state, shaped).reshape(-1), pay(state, many), rtol=1e-5)


def test_ends_are_followed_by_what_nobody_else_does():
    """By hand: experts never end; of the agent's steps a tenth do, and five steps follow each."""
    model = kernel.make(kernel.Config(expert_rows=50, batch_size=20, absorbing_steps=5), ENV)
    agent = rows(jax.random.key(1), 20, -1.0)
    ended = dataclasses.replace(agent, terminated=jnp.arange(20) < 2)
    state = jax.jit(model.init)(jax.random.key(0), DEMOS)
    state, _ = jax.jit(model.update)(jax.random.key(0), state, ended, agent)
    spent = 0.5 / 1.5

    def pay(params, steps):
        return model.score.apply(params, (), steps)[0]

    params = model.params(state)
    x = rows(jax.random.key(3), 4, -1.0)
    alive, dead = (dataclasses.replace(x, terminated=jnp.full(4, end)) for end in (False, True))
    difference = pay(params, dead) - pay(params, alive)
    np.testing.assert_allclose(difference, 5 * 2 * (0.0 - spent), rtol=1e-5)
    # Whoever is alive is compared with what the agent does while it lives, for two thirds of time.
    unended = params | {"beyond": jnp.zeros(2)}
    against = kernel.similarity(look(params, x), params["agent"], params["bandwidths"])
    np.testing.assert_allclose(
        pay(params, alive) - pay(unended, alive), spent * against, rtol=1e-4, atol=1e-6
    )
    beyond = dataclasses.replace(alive, origin=SimpleNamespace(is_absorbing=jnp.full(4, True)))
    np.testing.assert_allclose(pay(params, beyond), -2 * spent, rtol=1e-5)


def look(params, steps):
    return features.standardise(
        *features.units(params["moments"], floor=CONFIG.deviation_floor),
        features.select("sa", ENV.spec, steps),
    )
