"""Rewards and losses of logits, at points worked out by hand and far out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.rewards import logits

FAR = jnp.array([-50.0, -20.0, 0.0, 20.0, 50.0])
HALF = 1 / (1 + np.exp(-1.0))  # σ(1)


@pytest.mark.parametrize(
    ("name", "logit", "expected"),
    [
        ("gail", 0.0, np.log(2)),
        ("gail", 1.0, -np.log(1 - HALF)),
        ("gail", -1.0, -np.log(HALF)),
        ("gail", 50.0, 50.0),
        ("gail", -50.0, np.exp(-50)),
        ("airl", 1.5, 1.5),
        ("airl", -50.0, -50.0),
        ("fairl", -1.0, np.exp(-1)),
        ("fairl", 1.0, -np.e),
        ("fairl", 0.0, 0.0),
        ("fairl", 50.0, -20 * np.exp(20)),
        ("fairl", -50.0, 50 * np.exp(-50)),
        ("ratio", 0.0, 1.0),
        ("ratio", -2.0, np.exp(-2)),
        ("ratio", 50.0, np.exp(20)),
        ("dail", 0.0, 0.25),
        ("dail", 1.0, HALF * (1 + np.tanh(1)) / 2),
        ("dail", 50.0, 1.0),
        ("dail", -50.0, 0.0),
        ("least_squares", 1.0, 1.0),
        ("least_squares", 0.0, 0.75),
        ("least_squares", -1.0, 0.0),
        ("least_squares", -50.0, 0.0),
    ],
)
def test_rewards_by_hand(name, logit, expected):
    np.testing.assert_allclose(
        logits.REWARDS[name](jnp.float32(logit)), expected, rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("name", logits.REWARDS)
def test_rewards_and_their_slopes_are_finite_far_out(name):
    assert np.isfinite(logits.REWARDS[name](FAR)).all()
    assert np.isfinite(jax.vmap(jax.grad(logits.REWARDS[name]))(FAR)).all()


def test_rewards_are_those_of_the_probability():
    z = jnp.linspace(-10.0, 10.0, 41)
    d = np.asarray(jax.nn.sigmoid(z), np.float64)
    ratio = np.log(d) - np.log1p(-d)
    np.testing.assert_allclose(logits.gail(z), -np.log1p(-d), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(logits.airl(z), ratio, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(logits.fairl(z), -ratio * np.exp(ratio), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "divergence"),
    [
        ("airl", lambda expert, agent: jnp.sum(agent * jnp.log(agent / expert))),
        ("ratio", lambda expert, agent: jnp.sum(expert * jnp.log(expert / agent))),
    ],
)
def test_a_reward_is_how_its_divergence_falls(name, divergence):
    expert, agent = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.2, 0.2, 0.6])
    slope = -jax.grad(divergence, argnums=1)(expert, agent)
    paid = logits.REWARDS[name](jnp.log(expert / agent))
    # Up to a constant, which no distribution heeds.
    np.testing.assert_allclose(slope - slope.mean(), paid - paid.mean(), atol=1e-5)


def test_fairl_as_published_pays_less_where_the_expert_is_more_frequent():
    expert, agent = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.2, 0.2, 0.6])
    paid = logits.fairl(jnp.log(expert / agent))
    assert paid[0] < paid[1] < paid[2]


EXPERT, AGENT = jnp.array([1.0, 0.0]), jnp.array([-1.0, 2.0])


def test_losses_by_hand():
    def given(z, label):
        return np.mean(np.log1p(np.exp(z)) - label * np.asarray(z))

    binary = given(EXPERT, 1) + given(AGENT, 0)
    np.testing.assert_allclose(logits.binary_loss(EXPERT, AGENT), binary, rtol=1e-6)
    np.testing.assert_allclose(logits.squared_loss(EXPERT, AGENT), (0 + 1) / 2 + (0 + 9) / 2)
    np.testing.assert_allclose(logits.moment_loss(EXPERT, AGENT), 0.5 - 0.5)
    risk = given(AGENT, 0) - 0.7 * given(EXPERT, 0)
    expected = 0.7 * given(EXPERT, 1) + max(-0.1, risk)
    found = logits.unlabelled_loss(EXPERT, AGENT, prior=0.7, margin=0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_unlabelled_loss_stops_where_its_estimate_is_negative():
    sure = jnp.full(2, 5.0), jnp.full(2, -5.0)
    found = logits.unlabelled_loss(*sure, prior=0.7, margin=0.1)
    np.testing.assert_allclose(found, 0.7 * np.log1p(np.exp(-5)) - 0.1, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in logits.LOSSES if name != "mixup"])
def test_every_loss_raises_the_expert_and_lowers_the_agent(name):
    def loss(shift):
        return logits.loss(name, 0.1 + shift[0], shift[1] * jnp.ones(1), prior=0.3, margin=9.0)

    slopes = jax.grad(lambda shift: loss(shift).sum())(jnp.zeros(2))
    assert slopes[0] < 0 < slopes[1]


def test_mixing_nothing_in_is_the_experts_loss():
    both = logits.mixed_loss(EXPERT, jnp.ones(2)), logits.cross_entropy(EXPERT, 1.0).mean()
    np.testing.assert_allclose(*both)


def test_losses_are_finite_far_out():
    for label in (0.0, 0.3, 1.0):
        assert np.isfinite(logits.cross_entropy(FAR, label)).all()
        slopes = jax.vmap(jax.grad(logits.cross_entropy), (0, None))(FAR, label)
        assert np.isfinite(slopes).all()
    assert np.isfinite(jax.vmap(jax.grad(logits.entropy))(FAR)).all()


def test_entropy_of_a_coin():
    np.testing.assert_allclose(logits.entropy(jnp.zeros(1)), np.log(2), rtol=1e-6)
    expected = -HALF * np.log(HALF) - (1 - HALF) * np.log(1 - HALF)
    np.testing.assert_allclose(logits.entropy(jnp.array([1.0, -1.0])), [expected] * 2, rtol=1e-5)
    np.testing.assert_allclose(logits.entropy(FAR[jnp.array([0, 4])]), [0.0, 0.0], atol=1e-5)
