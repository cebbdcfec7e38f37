"""A policy that begins as a clone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations.demonstrations import from_episodes
from evil.errors import UserError
from evil.imitation import irl, pretraining
from evil.learners import ppo
from evil.networks import actor_critic
from evil.rewards import adversarial
from tests.learners import probes
from tests.learners.test_sac import CONFIG

ENV = probes.environment("continuous")
LEFT_AND_RIGHT = np.array([[0.5], [-0.5], [0.0]])  # what the expert does in each state
DEMOS = from_episodes(
    [{"obs": np.eye(3)[[0, 1, 2, 0]], "action": LEFT_AND_RIGHT, "terminated": False}] * 3
)
LEARNERS = {
    "sac": CONFIG,
    "ppo": ppo.Config(
        num_envs=4,
        num_steps=4,
        num_epochs=1,
        num_minibatches=1,
        network=actor_critic.Config(hidden=(32,)),
        num_starts=4,
    ),
}
REWARD = adversarial.Config(hidden=(8,), batch_size=16, learning_rate=1e-2)


def game(learner, updates, **changes):
    cloning = pretraining.Config(updates=updates, batch_size=32, learning_rate=1e-2)
    config = irl.Config(
        learner=learner,
        reward=REWARD,
        updates_per_iteration=1,
        history="current",
        pretraining=cloning,
    )
    return irl.make(dataclasses.replace(config, **changes), ENV)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_first_policy_does_what_the_expert_does(name):
    made = game(LEARNERS[name], 300, population=2)
    state = jax.jit(made.init)(jax.random.key(0), DEMOS)
    policy = made.policy(state, deterministic=True)
    actions, _ = policy.act(policy.params, probes.STATES, jax.random.key(0), ())
    np.testing.assert_allclose(actions, LEFT_AND_RIGHT, atol=0.1)
    assert state.learner.obs_moments.mean.shape == (2, 3)
    # The optimiser is fresh, and the two policies are two.
    counts = [x for x in jax.tree.leaves(state.learner) if x.dtype == jnp.int32]
    assert counts
    first = jax.tree.leaves(policy.params["network"])[-1]
    assert not np.array_equal(first, np.zeros_like(first))


def test_the_reward_rests_between_its_updates():
    made = game(LEARNERS["ppo"], 0, update_interval=3)
    state = jax.jit(made.init)(jax.random.key(0), DEMOS)
    step, moved = jax.jit(made.step), []
    for _ in range(6):
        before = jax.tree.leaves(state.reward.network)
        state, metrics = step(state, DEMOS)
        after = jax.tree.leaves(state.reward.network)
        moved.append(any((x != y).any() for x, y in zip(before, after, strict=True)))
        assert np.isfinite(metrics["reward/gap"])
    assert moved == [False, False, True] * 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"updates": -1}, "updates must be at least 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_bad_options_are_the_users_error(changes, said):
    with pytest.raises(UserError, match=said):
        pretraining.check(pretraining.Config(**changes))
    with pytest.raises(UserError, match="update_interval must be at least 1"):
        game(LEARNERS["ppo"], 0, update_interval=0)
