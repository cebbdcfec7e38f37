"""The evolution of a shaping term: its bookkeeping exactly, and that it finds one that helps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import environments
from evil.errors import UserError
from evil.learners import ppo
from evil.networks import actor_critic
from evil.rewards import fixed, potential
from evil.shaping import evil, strategies

ENV = environments.make("gridworld")
LEARNER = ppo.Config(
    num_envs=8,
    num_steps=10,
    num_epochs=2,
    num_minibatches=2,
    network=actor_critic.Config(hidden=(16,)),
    num_starts=8,
)
CONFIG = evil.Config(
    learner=LEARNER,
    potential=potential.Config(hidden=(8,)),
    strategy=strategies.Config(population=4, std=0.1),
    inner_iterations=6,
)
WIDTH = ENV.spec.obs_shape[0]


def data(config, key):
    return {
        "reward": (),
        "mean": jnp.zeros(WIDTH),
        "std": jnp.ones(WIDTH),
        "start": potential.make(config.potential, ENV).init(key),
        "physics": None,
    }


def generations(config, key, num):
    algorithm = evil.make(config, ENV, fixed.real())
    given = data(config, key)
    state = jax.jit(algorithm.init)(key, given)
    step, metrics = jax.jit(algorithm.step), []
    for _ in range(num):
        state, found = step(state, given)
        metrics.append(jax.device_get(found))
    assert step._cache_size() == 1  # the second generation compiles nothing
    return algorithm, state, metrics


VARIANTS = {
    "plain": CONFIG,
    "seeds": dataclasses.replace(CONFIG, inner_seeds=2),
    "unroll": dataclasses.replace(CONFIG, unroll=2),
    "persistent": dataclasses.replace(
        CONFIG, unroll=2, strategy=strategies.Config(name="persistent_es", population=4)
    ),
    "halving": dataclasses.replace(CONFIG, rungs=2),
    "scaled": dataclasses.replace(CONFIG, scaled=True),
}
STEPS = {"plain": 24, "seeds": 48, "unroll": 8, "persistent": 8, "halving": 4 * 3 + 2 * 3}


@pytest.mark.parametrize("name", VARIANTS)
def test_generations(name, key):
    algorithm, state, metrics = generations(VARIANTS[name], key, 4)
    assert state.generation == 4
    for found in metrics:
        assert all(np.isfinite(value) for value in found.values())
        assert found["evolution/best_fitness"] >= found["evolution/fitness"]
    assert metrics[0]["evolution/mean_norm"] != metrics[-1]["evolution/mean_norm"]
    if name in STEPS:
        assert algorithm.steps_per_iteration == STEPS[name] * 80
    if VARIANTS[name].unroll:  # 2, 4, 6 of 6: new lives, 2
        assert state.age == 2
    policy = algorithm.policy(state)
    action, _ = policy.act(policy.params, jnp.zeros((3, WIDTH)), key, policy.memory(3))
    assert action.shape == (3,)


def test_partners_share_their_random_numbers(key):
    pairs = jax.random.key_data(evil.shared_keys(key, 4, 2, antithetic=True))
    np.testing.assert_array_equal(pairs[:4], pairs[4:])
    assert len({tuple(row) for row in pairs.tolist()}) == 4
    everybody = jax.random.key_data(evil.shared_keys(key, 3, 2, antithetic=False))
    assert len({tuple(row) for row in everybody.tolist()}) == 2


def test_ranks_put_the_longest_lived_first():
    ranks = evil.ranked(jnp.array([0.0, 1.0, 0.0, 1.0]), jnp.array([9.0, 1.0, 3.0, 2.0]))
    np.testing.assert_array_equal(ranks, [1, 2, 0, 3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rungs": 4}, "cannot be halved 3 times: expected a multiple of 8"),
        ({"unroll": 2, "rungs": 2}, "exclude each other"),
        ({"unroll": 4}, "6 iterations is no multiple of unrolls of 4"),
        ({"under": "true"}, "unknown curve"),
        ({"fitness": "auc"}, "unknown fitness"),
        ({"inner_iterations": 0}, "inner_iterations"),
        ({"strategy": strategies.Config(population=3)}, "expected an even population"),
        ({"strategy": strategies.Config(name="persistent_es")}, "expected unroll above 0"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        evil.make(dataclasses.replace(CONFIG, **changes), ENV, fixed.real())
