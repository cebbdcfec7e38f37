"""Rewards for being where the expert was: distillation, and clones that agree."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations.demonstrations import from_episodes, transitions
from evil.errors import UserError
from evil.rewards import disagreement, fitting, support
from tests.rewards.blobs import DEMOS, ENV, rows

RED = support.Config(target_hidden=(16, 16), hidden=(16,), outputs=8, fit_updates=300)
DRIL = disagreement.Config(hidden=(16,), fit_updates=300, learning_rate=3e-3)
KINDS = {
    "red": (support, RED),
    "dril_ensemble": (disagreement, DRIL),
    "dril_dropout": (disagreement, dataclasses.replace(DRIL, form="dropout", dropout=0.3)),
}


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    module, config = KINDS[request.param]
    model = module.make(config, ENV)
    state = jax.jit(model.init)(jax.random.key(0), DEMOS)
    pay = jax.jit(lambda steps: model.score.apply(model.params(state), (), steps)[0])
    return request.param, model, state, pay


def test_the_expert_is_told_from_others(fitted):
    name, model, state, pay = fitted
    here, there = pay(rows(jax.random.key(1), 200)), pay(rows(jax.random.key(1), 200, -3.0))
    assert here.mean() > there.mean() + 0.3
    batches = rows(jax.random.key(2), 50, -3.0), rows(jax.random.key(3), 50)
    after, metrics = model.update(jax.random.key(0), state, *batches)
    assert metrics["reward/auc"] > (0.9 if name == "red" else 0.6)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), after, state))


def test_saturated_actions_are_paid_something_finite(fitted):
    _, _, _, pay = fitted
    steps = rows(jax.random.key(1), 20)
    for bound in (-2.0, 2.0):
        edge = dataclasses.replace(steps, action=jnp.full_like(steps.action, bound))
        assert np.isfinite(pay(edge)).all()


def test_the_median_of_held_out_rows_is_paid_what_was_asked():
    errors = jnp.array([0.1, 0.4, jnp.nan, 0.2])
    sigma = support.scale(errors, 0.9)
    np.testing.assert_allclose(jnp.exp(-sigma * 0.2), 0.9, rtol=1e-5)


def test_the_share_of_the_expert_that_the_threshold_lets_through():
    model = disagreement.make(dataclasses.replace(DRIL, quantile=0.9, fit_updates=20), ENV)
    state = jax.jit(model.init)(jax.random.key(0), DEMOS)
    paid, _ = model.score.apply(model.params(state), (), transitions(DEMOS, DEMOS.rows))
    assert set(np.unique(paid)) == {-1.0, 1.0}
    np.testing.assert_allclose((paid > 0).mean(), 0.9, atol=0.011)


def test_spread_by_hand():
    opinions = jnp.array([[[1.0, 0.0]], [[3.0, 0.0]], [[5.0, 4.0]]])  # three of one step
    action = jnp.array([[1.0, -0.5]])
    covariance = np.cov(np.asarray(opinions[:, 0]).T, bias=True)
    expected = np.asarray(action[0]) @ covariance @ np.asarray(action[0])
    np.testing.assert_allclose(disagreement.spread(opinions, action), [expected], rtol=1e-5)


@pytest.mark.parametrize(
    ("form", "expected"), [("sign", [1, 1, -1]), ("penalty", [0, 0, -1]), ("cost", [0, -1, -1])]
)
def test_what_a_cost_is_paid(form, expected):
    found = disagreement.reward(jnp.array([0.0, 2.0, 6.0]), jnp.float32(2.0), form)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_choices_are_supported_too():
    discrete = dataclasses.replace(
        ENV, spec=dataclasses.replace(ENV.spec, num_actions=3, action_size=0)
    )
    obs = np.random.default_rng(0).normal(size=(31, 2)).astype(np.float32)
    demos = from_episodes([{"obs": obs, "action": (obs[:-1, 0] > 0).astype(np.int32)}])
    model = disagreement.make(dataclasses.replace(DRIL, fit_updates=50), discrete)
    state = jax.jit(model.init)(jax.random.key(0), demos)
    seen = dataclasses.replace(rows(jax.random.key(1), 8), action=jnp.zeros(8, jnp.int32))
    paid, _ = model.score.apply(model.params(state), (), seen)
    assert np.isin(paid, [-1.0, 1.0]).all()


def test_members_differ():
    model = disagreement.make(dataclasses.replace(DRIL, fit_updates=1), ENV)
    kernels = jax.tree.leaves(jax.jit(model.init)(jax.random.key(0), DEMOS).clones)
    assert any((x[0] != x[1]).any() for x in kernels)


def test_padding_is_never_fitted():
    padded = dataclasses.replace(DEMOS, count=jnp.int32(5))
    order = fitting.shuffled(jax.random.key(0), padded)
    assert sorted(order[:5].tolist()) == DEMOS.rows[:5].tolist()
    assert order.shape == DEMOS.rows.shape


@pytest.mark.parametrize(
    ("module", "changes", "said"),
    [
        (support, {"held_out": 0.0}, "held_out must be between 0 and 1"),
        (support, {"expert_reward": 1.0}, "expert_reward must be between 0 and 1"),
        (support, {"fit_updates": 0}, "fit_updates must be at least 1"),
        (disagreement, {"members": 1}, "members must be at least 2"),
        (disagreement, {"form": "ensembl"}, "did you mean ensemble"),
        (disagreement, {"quantile": 0.0}, "quantile must be above 0"),
        (
            disagreement,
            {"form": "dropout", "dropout": 0.0, "input_dropout": 0.0},
            "dropout or input_dropout above 0",
        ),
    ],
)
def test_bad_options_are_the_users_error(module, changes, said):
    with pytest.raises(UserError, match=said):
        module.make(dataclasses.replace(module.Config(), **changes), ENV)


def test_where_no_clone_has_been_the_least_is_paid():
    model = disagreement.make(dataclasses.replace(DRIL, fit_updates=1, absorbing_steps=7), ENV)
    assert model.score.pays_absorbing
    params = model.params(jax.jit(model.init)(jax.random.key(0), DEMOS))
    alive = rows(jax.random.key(1), 3)
    dead = dataclasses.replace(alive, terminated=jnp.array([True, True, False]))
    paid = [model.score.apply(params, (), steps)[0] for steps in (alive, dead)]
    np.testing.assert_allclose(paid[1] - paid[0], [-7.0, -7.0, 0.0])
