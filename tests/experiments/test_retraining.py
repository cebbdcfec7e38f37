"""Retraining that is shaped by critics: only on the recovered reward, and only by what they say."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from evil import environments, registry
from evil.errors import UserError
from evil.experiments import recover
from evil.experiments.settings import presets
from evil.experiments.shared import critics, measure, retraining
from evil.learners import ppo, sac
from evil.networks import actor_critic
from evil.rewards import fixed
from evil.running import lanes

LEARNER = ppo.Config(
    num_envs=4, num_steps=8, num_epochs=1, num_minibatches=2, num_starts=4,
    network=actor_critic.Config(hidden=(8,)),
)  # fmt: skip


@pytest.fixture(scope="module")
def env():
    return environments.make("pendulum")


@pytest.fixture(scope="module")
def term(env):
    """The critics of two untrained policies."""
    learner = registry.make(LEARNER, env, fixed.real())
    states = jax.vmap(learner.init)(jax.random.split(jax.random.key(0), 2))
    return critics.of_policies(env, LEARNER, measure.stacked_policy(learner.policy, states))


@pytest.fixture(scope="module")
def learn(env):
    """Weights by group after two iterations on two rewards, all of them the real one."""
    model = registry.make(fixed.Config(), env)
    rewards = jax.vmap(lambda key: model.params(model.init(key, None)))(
        jax.random.split(jax.random.key(2), 2)
    )

    def learned(shaping):
        made = retraining.make(
            LEARNER, model, env, rewards, jax.random.key(1),
            per_reward=2, iterations=2, chunk=2, shaping=shaping,
        )  # fmt: skip
        phase = made.phase
        programs = lanes.compile_phase(phase)
        states = programs.init(phase.keys, phase.data)
        states, *_ = programs.advance(states, phase.data, jnp.ones(phase.lanes, bool), 2)
        return {
            name: jnp.concatenate(
                [x.reshape(x.shape[0], -1) for x in jax.tree.leaves(policy.params)], axis=1
            )
            for name, policy in made.policies(states).items()
        }

    return learned


def test_a_critic_shapes_the_recovered_reward_alone(learn, term):
    flat = dataclasses.replace(term, params=jax.tree.map(jnp.zeros_like, term.params))
    flat.params["std"] = jnp.ones_like(term.params["std"])
    plain, level, shaped = learn(None), learn(flat), learn(term)
    assert plain["retrain"].shape[0] == 4 and plain["rl"].shape[0] == 2
    for name, weights in plain.items():
        assert jnp.allclose(level[name], weights, atol=1e-6)
    assert jnp.abs(shaped["retrain"] - plain["retrain"]).max(axis=1).min() > 1e-4
    for name in ("rl", "survival"):
        assert jnp.allclose(shaped[name], plain[name], atol=1e-6)


def test_each_reward_is_shaped_by_the_critic_of_its_own_game(learn, term):
    """With the second critic in place of the first, only policies on the first reward change."""
    twice = dataclasses.replace(
        term, params=jax.tree.map(lambda x: jnp.stack([x[1], x[1]]), term.params)
    )
    change = jnp.abs(learn(twice)["retrain"] - learn(term)["retrain"]).max(axis=1)
    assert (change[:2] > 1e-4).all() and (change[2:] < 1e-6).all()


@pytest.mark.parametrize(
    ("env", "learner"),
    [("pendulum", sac.Config()), ("gridworld50", presets.size("gridworld50", "quick").learner)],
)
def test_learners_whose_critics_see_no_observations_cannot_shape(env, learner):
    usual = presets.recovery(env, "smoke", irl_plus=True)
    game = dataclasses.replace(usual.algorithm, learner=learner)
    with pytest.raises(UserError, match="no critic that sees observations"):
        recover.study(dataclasses.replace(usual, algorithm=game, shaped=True))
