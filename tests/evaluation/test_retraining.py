"""Fresh policies do what the frozen reward says, whatever the environment pays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evil
from evil.learners import ppo
from evil.networks import actor_critic
from evil.rewards import memoryless
from evil.seams import Environment, Spec, Step

BANDIT = Environment(
    spec=Spec(name="bandit", obs_shape=(1,), time_limit=1, num_actions=3),
    params=(),
    reset=lambda key, params: (jnp.zeros(()), jnp.zeros(1)),
    step=lambda key, state, action, params: (
        state,
        Step(
            next_obs=jnp.zeros(1),
            reward=(action == 0).astype(jnp.float32),
            terminated=jnp.ones((), bool),
            truncated=jnp.zeros((), bool),
        ),
    ),
)
LEARNER = ppo.Config(
    num_envs=16,
    num_steps=8,
    num_epochs=4,
    num_minibatches=2,
    network=actor_critic.Config(hidden=(8,)),
    learning_rate=1e-2,
    num_starts=4,
)
SCORE = memoryless(lambda params, steps: params[steps.action])


@pytest.fixture(scope="module")
def retrained():
    keys = jax.random.split(jax.random.key(0), 3)
    train = jax.jit(lambda pay: evil.retrain(SCORE, pay, BANDIT, LEARNER, keys, iterations=30))
    return {best: train(10.0 * jax.nn.one_hot(best, 3)) for best in (1, 2)} | {"train": train}


@pytest.mark.parametrize("best", [1, 2])
def test_policies_follow_the_reward(retrained, best):
    policies, _ = retrained[best]
    obs = jnp.zeros((256, 1))
    act = jax.vmap(lambda policy: policy.act(policy.params, obs, jax.random.key(1), ())[0])
    assert np.all(np.mean(np.asarray(act(policies)) == best, axis=1) > 0.9)


def test_one_program_for_all_rewards(retrained):
    assert retrained["train"]._cache_size() == 1


def test_policies_differ_by_key(retrained):
    policies, metrics = retrained[1]
    for leaf in jax.tree.leaves(policies.params["network"]):
        assert leaf.shape[0] == 3
    kernel = policies.params["network"]["params"]["actor_network"]["hidden_0"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])
    assert metrics["agent/reward"].shape == (3, 30)
