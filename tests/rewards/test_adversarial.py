"""The adversarial reward: its logit by hand, and what updates do to it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.demonstrations import from_episodes
from evil.errors import UserError
from evil.networks.mlp import MLP, apply
from evil.rewards import adversarial, features
from evil.rewards.adversarial import Config, Inputs
from evil.seams import Environment, Spec, Transition
from tests.rewards.blobs import DEMOS, ENV, SPEC, rows

SMALL = Config(
    hidden=(8,),
    shaping_hidden=(6,),
    batch_size=32,
    learning_rate=1e-2,
    weight_decay=0.0,
    gradient_penalty=0.1,
)
VARIANTS = {
    "mixup": {"loss": "mixup", "reward": "dail", "input_dropout": 0.1, "dropout": 0.1},
    "unlabelled": {"loss": "unlabelled", "reward": "gail", "normalise": "pooled"},
    "moments": {"loss": "moment_matching", "reward": "airl", "gradient_penalty": 10.0,
                "gradient_target": 1.0, "spectral": False},
    "squares": {"loss": "least_squares", "reward": "least_squares", "inputs": "sas"},
    "shaped": {"shaped": True, "reward": "fairl", "reward_bound": 5.0, "entropy_bonus": 0.01},
    "absorbing": {"absorbing_steps": 10, "inputs": "s"},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_it_learns_to_tell_the_expert(name):
    model = adversarial.make(dataclasses.replace(SMALL, **VARIANTS[name]), ENV)

    def train(key):
        state = model.init(key, DEMOS)

        def one(state, key):
            keys = jax.random.split(key, 3)
            return model.update(keys[0], state, rows(keys[1], 32, 0.0), rows(keys[2], 32, 1.0))

        state, metrics = jax.lax.scan(one, state, jax.random.split(key, 60))
        paid = [
            model.score.apply(model.params(state), (), rows(key, 50, centre))[0]
            for centre in (0.0, 1.0)
        ]
        return metrics, paid

    metrics, (agent, expert) = jax.jit(train)(jax.random.key(0))
    if name == "shaped":  # forward KL pays less for what is surely the expert's
        assert metrics["reward/loss"][-1] < metrics["reward/loss"][0]
        assert (jnp.abs(agent) <= 5).all() and (jnp.abs(expert) <= 5).all()
        return
    assert expert.mean() > agent.mean()
    assert metrics["reward/auc"][-1] > 0.9
    assert all(np.isfinite(x).all() for x in metrics.values())


SHAPED = adversarial.make(dataclasses.replace(SMALL, shaped=True, spectral=False), ENV)
STATE = SHAPED.init(jax.random.key(1), DEMOS)


def test_the_shaped_logit_by_hand():
    seen = rows(jax.random.key(2), 3, 0.5)
    seen = dataclasses.replace(seen, terminated=jnp.array([False, True, False]))
    params = SHAPED.params(STATE)
    found, _ = SHAPED.score.apply(params, (), seen)
    mean, std = (np.asarray(params[name]) for name in ("mean", "std"))
    x = (np.concatenate([seen.obs, seen.action], 1) - mean) / std
    after = (np.asarray(seen.next_obs) - mean[:2]) / std[:2]
    g, h = MLP((8,), 1, "relu"), MLP((6,), 1, "relu")
    expected = (
        apply(g, params["network"]["g"], x)[:, 0]
        + 0.99 * np.array([1, 0, 1]) * apply(h, params["network"]["h"], after)[:, 0]
        - apply(h, params["network"]["h"], x[:, :2])[:, 0]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_policys_log_probability_is_subtracted():
    model = adversarial.make(
        dataclasses.replace(SMALL, shaped=True, spectral=False, subtract_log_policy=True), ENV
    )
    state = model.init(jax.random.key(1), DEMOS)
    seen = rows(jax.random.key(2), 3, 0.5)
    told = dataclasses.replace(seen, log_prob=jnp.array([0.0, 1.0, -2.0]))
    bare, _ = SHAPED.score.apply(SHAPED.params(STATE), (), seen)
    found, _ = model.score.apply(model.params(state), (), told)
    np.testing.assert_allclose(found, np.asarray(bare) - [0.0, 1.0, -2.0], rtol=1e-5)
    batches = [rows(jax.random.key(i), 32) for i in (1, 2)]
    jax.eval_shape(model.update, jax.random.key(0), state, *batches)


def test_mixing_by_hand():
    def one(value):
        return Inputs(
            x=jnp.full((2, 3), value),
            successor=jnp.full((2, 0), value),
            ends=jnp.full(2, value),
            log_prob=jnp.full(2, value),
        )

    found = adversarial.mix(one(4.0), one(0.0), jnp.array([1.0, 0.25]))
    np.testing.assert_allclose(found.x, [[4] * 3, [1] * 3])
    np.testing.assert_allclose(found.ends, [4, 1])


def test_dropping_units_needs_a_key():
    module = MLP((64,), 1, "relu", input_dropout=0.5, dropout=0.5)
    x = jnp.ones((4, 8))
    params = module.init(jax.random.key(0), x)
    np.testing.assert_array_equal(apply(module, params, x), apply(MLP((64,), 1, "relu"), params, x))
    thin = [apply(module, params, x, dropout=jax.random.key(i)) for i in (0, 0, 1)]
    np.testing.assert_array_equal(thin[0], thin[1])
    assert (thin[0] != thin[2]).any()
    inputs = MLP((), 1, "relu", input_dropout=0.5)
    ones = {"params": {"output": {"kernel": jnp.ones((1000, 1)), "bias": jnp.zeros(1)}}}
    found = apply(inputs, ones, jnp.ones(1000), dropout=jax.random.key(0))
    np.testing.assert_allclose(found, 1000, rtol=0.1)  # kept units count for the dropped ones


def test_all_three_in_order():
    seen = rows(jax.random.key(0), 2)
    found = features.select("sas", SPEC, seen)
    np.testing.assert_array_equal(found, np.concatenate([seen.obs, seen.action, seen.next_obs], 1))
    assert features.size("sas", SPEC) == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "binry"}, "did you mean binary"),
        ({"reward": "dial"}, "did you mean dail"),
        ({"inputs": "sss"}, "unknown reward inputs"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1"),
        ({"shaped": True, "absorbing_steps": 5}, "no absorbing state"),
        ({"shaped": True, "inputs": "next_s"}, "state acted upon"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_bad_options_are_the_users_error(changes, said):
    with pytest.raises(UserError, match=said):
        adversarial.make(dataclasses.replace(SMALL, **changes), ENV)


GRID = Spec(name="grid", obs_shape=(2,), obs_sizes=(3, 4), time_limit=10, num_actions=2)
NUMBERS = jnp.arange(24)


def walked(count):
    """Each of 3 x 4 cells with each of two actions, `count` times."""
    number = jnp.repeat(NUMBERS, count)
    zeros = jnp.zeros(number.shape)
    cells = jnp.stack(jnp.divmod(number // 2, 4), -1).astype(jnp.float32)
    return Transition(
        obs=cells,
        action=number % 2,
        next_obs=cells,
        reward=zeros,
        terminated=(number == 23),
        truncated=zeros > 0,
    )


def test_a_table_holds_one_logit_for_each_state_and_action():
    env = Environment(spec=GRID, params=(), reset=None, step=None)
    config = Config(
        hidden=(), embed=True, loss="binary", learning_rate=0.1, weight_decay=0.0, absorbing_steps=5
    )
    model = adversarial.make(config, env)
    every = walked(1)
    demos = from_episodes([{"obs": np.zeros((3, 2), np.float32), "action": np.zeros(2, np.int32)}])
    agent = jax.tree.map(lambda x: jnp.tile(x, (12, *[1] * (x.ndim - 1))), every)
    wanted = (NUMBERS % 2 == 0) & (NUMBERS < 12)  # the expert does only these
    rows = jnp.tile(jnp.flatnonzero(wanted, size=6), 48)
    expert = jax.tree.map(lambda x: x[rows], every)

    def train(key):
        def one(state, key):
            return model.update(key, state, agent, expert)

        state, _ = jax.lax.scan(one, model.init(key, demos), jax.random.split(key, 60))
        return model.params(state), model.score.apply(model.params(state), (), every)[0]

    params, paid = jax.jit(train)(jax.random.key(0))
    (table,) = jax.tree.leaves(params["network"])
    assert table.shape == (24 * 2, 1)
    table = np.asarray(table).reshape(3, 4, 2, 2)  # row, column, action, absorbing or not
    # The best logit is the log ratio of frequencies: the agent, which ends once in 24 steps and
    # then stays in the absorbing state for five, does each of them a 29th of the time.
    np.testing.assert_allclose(paid[wanted], np.log(29 / 6), atol=0.3)
    assert (paid[~wanted] < -2.0).all()
    # What follows the end is paid at once, as five steps in the absorbing state's own row.
    assert table[0, 0, 0, 1] < 0.0  # only the agent was ever there
    np.testing.assert_allclose(paid[:-1], table[..., 0].reshape(-1)[:-1], rtol=1e-6)
    np.testing.assert_allclose(paid[-1], table[2, 3, 1, 0] + 5 * table[0, 0, 0, 1], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "spec", "message"),
    [
        ({}, SPEC, "embed looks whole numbers up in a table, but those of still are not"),
        ({"loss": "mixup"}, GRID, "expected no mixup"),
        ({"input_dropout": 0.1}, GRID, "input_dropout 0"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(changes, spec, message):
    env = Environment(spec=spec, params=(), reset=None, step=None)
    with pytest.raises(UserError, match=message):
        adversarial.make(Config(embed=True, **changes), env)
