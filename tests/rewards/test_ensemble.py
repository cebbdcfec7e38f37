"""An ensemble is its members, and a way to make one reward of theirs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations.demonstrations import from_episodes
from evil.errors import UserError
from evil.pytrees import take
from evil.rewards import ensemble, moment_matching
from evil.seams import Environment, Spec, Transition

SIZE, BATCH = 3, 4
ENV = Environment(
    spec=Spec(name="still", obs_shape=(2,), time_limit=10, num_actions=2),
    params=(),
    reset=None,
    step=None,
)
MEMBER = moment_matching.Config(hidden=(4,), batch_size=BATCH)
CONFIG = ensemble.Config(member=MEMBER, size=SIZE)
OBS = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
DEMOS = from_episodes([{"obs": OBS, "action": np.zeros(5, np.int32)}])


def rows(key, count):
    obs = jax.random.normal(key, (count, 2))
    zeros = jnp.zeros(count)
    return Transition(
        obs=obs,
        action=jnp.zeros(count, jnp.int32),
        next_obs=obs,
        reward=zeros,
        terminated=zeros > 0,
        truncated=zeros > 0,
    )


def score(model, state, batch):
    apply = jax.jit(lambda state, batch: model.score.apply(model.params(state), (), batch)[0])
    return apply(state, batch)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("mean", [2.0, 4.0]),
        ("minimum", [1.0, 4.0]),
        ("mean_minus_deviation", [1.5, 4.0]),  # deviations 1 and 0, half of them
    ],
)
def test_reductions_by_hand(reduction, expected):
    values = jnp.array([[1.0, 4.0], [3.0, 4.0]])
    found = ensemble.reduce(values, reduction, pessimism=0.5)
    np.testing.assert_allclose(found, expected)


def test_an_unknown_reduction_is_the_users_error():
    with pytest.raises(UserError, match="did you mean minimum"):
        ensemble.reduce(jnp.ones((2, 2)), "minimun")
    with pytest.raises(UserError, match="did you mean minimum"):
        ensemble.make(dataclasses.replace(CONFIG, reduction="minimun"), ENV)


@pytest.mark.parametrize("size", [0, -1])
def test_an_ensemble_has_members(size):
    with pytest.raises(UserError, match="size must be at least 1"):
        ensemble.make(dataclasses.replace(CONFIG, size=size), ENV)


@pytest.fixture(scope="module")
def member():
    """A single model and its jitted functions."""
    model = moment_matching.make(MEMBER, ENV)
    return model, jax.jit(model.init), jax.jit(model.update)


def test_an_ensemble_is_a_loop_over_its_members(member, key):
    single, init, update = member
    model = ensemble.make(CONFIG, ENV)
    assert model.batch_size == SIZE * BATCH

    key_init, key_agent, key_expert, key_update, key_score = jax.random.split(key, 5)
    agent, expert = rows(key_agent, SIZE * BATCH), rows(key_expert, SIZE * BATCH)
    batch = rows(key_score, 7)

    state = jax.jit(model.init)(key_init, DEMOS)
    state, metrics = jax.jit(model.update)(key_update, state, agent, expert)

    gaps, values = [], []
    init_keys, update_keys = (jax.random.split(k, SIZE) for k in (key_init, key_update))
    for i in range(SIZE):
        own = jnp.arange(i * BATCH, (i + 1) * BATCH)  # independent batches
        one = init(init_keys[i], DEMOS)
        one, one_metrics = update(update_keys[i], one, take(agent, own), take(expert, own))
        for found, expected in zip(
            jax.tree.leaves(state.network), jax.tree.leaves(one.network), strict=True
        ):
            np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-5)
        gaps.append(one_metrics["reward/gap"])
        values.append(score(single, one, batch))

    assert np.std(values, axis=0).max() > 0.01  # they do differ
    np.testing.assert_allclose(metrics["reward/gap"], np.mean(gaps), rtol=1e-3, atol=1e-5)
    for reduction, reduced in (
        ("mean", np.mean(values, 0)),
        ("minimum", np.min(values, 0)),
        ("mean_minus_deviation", np.mean(values, 0) - 2 * np.std(values, 0)),
    ):
        config = dataclasses.replace(CONFIG, reduction=reduction, pessimism=2.0)
        found = score(ensemble.make(config, ENV), state, batch)
        np.testing.assert_allclose(found, reduced, rtol=1e-4, atol=1e-5)


def test_an_ensemble_of_one_is_its_member(member, key):
    single, init, _ = member
    model = ensemble.make(dataclasses.replace(CONFIG, size=1), ENV)
    one = init(jax.random.split(key, 1)[0], DEMOS)
    batch = rows(key, 5)
    found = score(model, jax.jit(model.init)(key, DEMOS), batch)
    np.testing.assert_allclose(found, score(single, one, batch), rtol=1e-5)


def test_rollouts_are_scored_as_they_are(key):
    model = ensemble.make(CONFIG, ENV)
    flat = rows(key, 6)
    state = jax.jit(model.init)(key, DEMOS)
    stacked = jax.tree.map(lambda x: x.reshape((3, 2, *x.shape[1:])), flat)
    found = score(model, state, stacked)
    np.testing.assert_allclose(found, score(model, state, flat).reshape(3, 2), rtol=1e-5)
