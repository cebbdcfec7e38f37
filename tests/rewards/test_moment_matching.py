"""The discriminator: its inputs, its penalty, its schedules, and its optimum where it is known."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import normalise, schedules
from evil.demonstrations.demonstrations import from_episodes
from evil.errors import UserError
from evil.rewards import absorbing, features, levels, moment_matching, penalties
from evil.seams import Environment, Spec, Transition


def environment(**changes):
    """A world that is never stepped: rewards read its spec alone."""
    spec = {"name": "still", "obs_shape": (1,), "time_limit": 10, "num_actions": 3} | changes
    return Environment(spec=Spec(**spec), params=(), reset=None, step=None)


def rows(obs, action=None, next_obs=None):
    """Transitions of which only the given parts matter."""
    obs = jnp.asarray(obs)
    zeros = jnp.zeros(obs.shape[0])
    return Transition(
        obs=obs,
        action=jnp.zeros(obs.shape[0], jnp.int32) if action is None else jnp.asarray(action),
        next_obs=obs if next_obs is None else jnp.asarray(next_obs),
        reward=zeros,
        terminated=zeros > 0,
        truncated=zeros > 0,
    )


def demonstrations(obs):
    """One episode of these observations; the last one is only a successor."""
    obs = np.asarray(obs, np.float32)
    return from_episodes([{"obs": obs, "action": np.zeros(len(obs) - 1, np.int32)}])


# Observations -1, 1: mean 0 and deviation 1, so that inputs are their own standardised values.
UNIT = demonstrations([[-1.0], [1.0], [0.0]])


# The penalty.


def test_penalty_by_hand():
    # norms 5 and 0: ((5 - 1)² + (0 - 1)²) / 2
    slopes = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(penalties.gradient_penalty(slopes, 1.0), 8.5, rtol=1e-5)
    # d/ds (|s| - 1)² / 2 = (|s| - 1) s / |s| = 4 · (3/5, 4/5), and finite at zero
    gradient = jax.grad(penalties.gradient_penalty)(slopes, 1.0)
    np.testing.assert_allclose(gradient, [[2.4, 3.2], [0.0, 0.0]], rtol=1e-5)
    # One-sided, the norm of 0 is none too many: (5 - 1)² / 2
    one_sided = penalties.gradient_penalty(slopes, 1.0, one_sided=True)
    np.testing.assert_allclose(one_sided, 8.0, rtol=1e-5)


# Its inputs.


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("s", [[1, 2], [3, 4]]),
        ("next_s", [[5, 6], [7, 8]]),
        ("ss", [[1, 2, 5, 6], [3, 4, 7, 8]]),
        ("sa", [[1, 2, 0, 0, 1], [3, 4, 1, 0, 0]]),  # actions 2 and 0 of 3
    ],
)
def test_features_by_hand(inputs, expected):
    spec = environment(obs_shape=(2,)).spec
    batch = rows(
        jnp.array([[1.0, 2.0], [3.0, 4.0]]),
        jnp.array([2, 0]),
        jnp.array([[5.0, 6.0], [7.0, 8.0]]),
    )
    np.testing.assert_array_equal(features.select(inputs, spec, batch), expected)


def test_features_of_action_vectors_and_images():
    spec = environment(obs_shape=(1, 2), num_actions=None, action_size=2).spec
    batch = rows(jnp.array([[[1.0, 2.0]]]), jnp.array([[0.5, -0.5]]))
    np.testing.assert_array_equal(features.select("sa", spec, batch), [[1.0, 2.0, 0.5, -0.5]])
    # Any leading axes: a rollout [T, B] is scored as it is.
    twice = jax.tree.map(lambda x: jnp.stack([x] * 3), batch)
    assert features.select("sa", spec, twice).shape == (3, 1, 4)


def test_unknown_names_are_the_users_error():
    with pytest.raises(UserError, match="did you mean next_s"):
        moment_matching.make(moment_matching.Config(inputs="nexts"), environment())
    with pytest.raises(UserError, match="did you mean tanh"):
        moment_matching.make(moment_matching.Config(activation="tahn"), environment())
    for field, name in (("output", "lniear"), ("normalise", "poled"), ("baseline", "lest")):
        with pytest.raises(UserError, match=f"unknown reward .* '{name}'"):
            moment_matching.make(moment_matching.Config(**{field: name}), environment())


def test_moments_by_hand_with_padding_and_floor():
    # The valid rows 1, 3 have mean 2 and deviation 1; 5, 5 have none. The rest is padding.
    table = jnp.array([[1.0, 5.0], [3.0, 5.0], [100.0, -7.0]])
    moments = normalise.of_rows(table, jnp.int32(2))
    assert moments.count == 2
    mean, std = features.units(moments, floor=0.1)
    np.testing.assert_allclose(mean, [2.0, 5.0])
    np.testing.assert_allclose(std, [1.0, 0.1])
    found = features.standardise(mean, std, jnp.array([[4.0, 4.0]]))
    np.testing.assert_allclose(found, [[2.0, -10.0]], rtol=1e-6)


def test_statistics_are_those_of_the_rows_in_use():
    demos = demonstrations([[1.0], [3.0], [100.0], [0.0]])
    some = dataclasses.replace(demos, count=jnp.int32(2))
    model = moment_matching.make(moment_matching.Config(hidden=()), environment())
    params = model.params(jax.jit(model.init)(jax.random.key(0), some))
    np.testing.assert_allclose([params["mean"], params["std"]], [[2.0], [1.0]])
    wide = moment_matching.Config(hidden=(), deviation_floor=5.0)
    model = moment_matching.make(wide, environment())
    params = model.params(jax.jit(model.init)(jax.random.key(0), some))
    np.testing.assert_allclose(params["std"], [5.0])


# Its schedules.


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("constant", [0.1] * 7),
        ("linear", [0.1, 0.08, 0.06, 0.04, 0.02, 0.02, 0.02]),  # down by 0.08 over 4 updates
        ("harmonic", [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]),  # ⌊6/4⌋ = 1
    ],
)
def test_rates_by_hand(kind, expected):
    found = schedules.rate(kind, 0.1, 0.02, 4, jnp.arange(7))
    np.testing.assert_allclose(jnp.broadcast_to(found, (7,)), expected, rtol=1e-6)


def test_a_harmonic_rate_falls_after_two_periods():
    # ⌊count / 2⌋ = 0 0 1 1 2 2 3 3
    found = schedules.rate("harmonic", 0.6, 0.0, 2, jnp.arange(8))
    np.testing.assert_allclose(found, [0.6, 0.6, 0.6, 0.6, 0.3, 0.3, 0.2, 0.2], rtol=1e-6)


def test_unknown_schedule():
    with pytest.raises(UserError, match="did you mean linear"):
        schedules.rate("lineal", 0.1, 0.0, 4, 0)


@pytest.mark.parametrize(
    "name",
    ["gradient_penalty", "weight_decay", "input_noise", "optimism", "learning_rate", "averaging"],
)
def test_what_cannot_be_negative_is_refused(name):
    with pytest.raises(UserError, match=f"{name} must be at least 0, found -1"):
        moment_matching.make(dataclasses.replace(SMALL, **{name: -1.0}), environment())


# One update.

SMALL = moment_matching.Config(
    hidden=(4,),
    batch_size=4,
    schedule="linear",
    learning_rate=0.1,
    final_learning_rate=0.02,
    schedule_updates=4,
)
AGENT, EXPERT = rows([[-2.0], [-1.0], [-1.5], [0.0]]), rows([[1.0], [2.0], [1.5], [0.5]])


@pytest.fixture(scope="module")
def small():
    model = moment_matching.make(SMALL, environment())
    state = jax.jit(model.init)(jax.random.key(0), UNIT)
    return state, jax.jit(model.update)


def test_updates_follow_the_schedule(small):
    state, update = small
    found = []
    for seed in range(3):
        state, metrics = update(jax.random.key(seed), state, AGENT, EXPERT)
        found.append(metrics["reward/learning_rate"])
    np.testing.assert_allclose(found, [0.1, 0.08, 0.06], rtol=1e-6)
    assert state.count == 3


def test_weight_decay_is_decoupled(small):
    state, update = small
    hyper = dataclasses.replace(state.hyper, weight_decay=jnp.float32(0.5))
    plain, _ = update(jax.random.key(0), state, AGENT, EXPERT)
    decayed, _ = update(jax.random.key(0), dataclasses.replace(state, hyper=hyper), AGENT, EXPERT)

    def check(before, without, with_decay):  # the rate is 0.1, so the decay 0.1 · 0.5 p
        np.testing.assert_allclose(with_decay, without - 0.05 * before, rtol=1e-5, atol=1e-7)

    jax.tree.map(check, state.network, plain.network, decayed.network)
    assert any(float(jnp.abs(x).max()) > 0.1 for x in jax.tree.leaves(state.network))


def test_metrics_are_those_of_the_batch(small):
    state, update = small
    _, metrics = update(jax.random.key(0), state, AGENT, EXPERT)
    model = moment_matching.make(SMALL, environment())
    agent, expert = (
        model.score.apply(model.params(state), (), batch)[0].mean() for batch in (AGENT, EXPERT)
    )
    np.testing.assert_allclose(metrics["reward/agent_mean"], agent, rtol=1e-5)
    np.testing.assert_allclose(metrics["reward/expert_mean"], expert, rtol=1e-5)
    np.testing.assert_allclose(metrics["reward/gap"], expert - agent, rtol=1e-4, atol=1e-6)


def test_interpolates_are_between_the_samples():
    # With f linear in its logit and agent = expert = x, every interpolate is x: the penalty is
    # (|f'(x)| - k)² whatever the weights are.
    config = moment_matching.Config(hidden=(), batch_size=4, gradient_target=0.2)
    model = moment_matching.make(config, environment())
    state = jax.jit(model.init)(jax.random.key(0), UNIT)
    batch = rows([[0.7]] * 4)
    weight = float(state.network["params"]["output"]["kernel"][0, 0])
    value = 1 / (1 + math.exp(-0.7 * weight))
    slope = abs(weight) * value * (1 - value)
    _, metrics = jax.jit(model.update)(jax.random.key(0), state, batch, batch)
    np.testing.assert_allclose(metrics["reward/penalty"], (slope - 0.2) ** 2, rtol=1e-4)
    np.testing.assert_allclose(metrics["reward/gap"], 0.0, atol=1e-6)


def test_pooled_units_are_those_of_everything_seen():
    config = dataclasses.replace(SMALL, normalise="pooled")
    model = moment_matching.make(config, environment())
    state = jax.jit(model.init)(jax.random.key(0), UNIT)
    state, _ = jax.jit(model.update)(jax.random.key(0), state, AGENT, EXPERT)
    seen = np.concatenate([[-1.0, 1.0], AGENT.obs[:, 0], EXPERT.obs[:, 0]])
    params = model.params(state)
    np.testing.assert_allclose(params["mean"], [seen.mean()], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(params["std"], [seen.std()], rtol=1e-5)


def test_noise_blurs_the_inputs_of_updates_alone(small):
    state, update = small
    hyper = dataclasses.replace(state.hyper, input_noise=jnp.float32(0.5))
    noisy = dataclasses.replace(state, hyper=hyper)
    _, clean = update(jax.random.key(0), state, AGENT, EXPERT)
    _, blurred = update(jax.random.key(0), noisy, AGENT, EXPERT)
    assert clean["reward/agent_mean"] != blurred["reward/agent_mean"]
    score = moment_matching.make(SMALL, environment())
    params = [score.params(one) for one in (state, noisy)]
    np.testing.assert_array_equal(*[score.score.apply(one, (), AGENT)[0] for one in params])


@pytest.mark.parametrize(
    ("kind", "expected"), [("none", 0.5), ("agent", 50.0 * 0.02 + 0.49), ("least", 0.59)]
)
def test_baseline_by_hand(kind, expected):
    # 0, 1, ..., 100 have mean 50 and fifth percentile 5; b was 0.5 and moves by a fiftieth.
    values = jnp.arange(101.0)
    found = levels.track(kind, jnp.float32(0.5), values, jnp.int32(1000))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    higher = levels.track(kind, jnp.float32(0.5), values, jnp.int32(0), 0.25)
    assert higher == {"none": 0.5, "agent": 50.0, "least": 25.0}[kind]
    bounded = levels.track(kind, jnp.float32(0.5), values, jnp.int32(0), 0.25, bound=-3.0)
    assert bounded == {"none": 0.5, "agent": 50.0, "least": -3.0}[kind]
    if kind != "none":  # the first batch decides alone
        first = levels.track(kind, jnp.float32(0.5), values, jnp.int32(0))
        np.testing.assert_allclose(first, {"agent": 50.0, "least": 5.0}[kind], rtol=1e-5)


@pytest.mark.parametrize("name", ["baseline_quantile", "expert_quantile"])
@pytest.mark.parametrize("quantile", [-0.1, 1.5, float("nan")])
def test_a_quantile_is_a_share(name, quantile):
    config = dataclasses.replace(SMALL, baseline="least", **{name: quantile})
    with pytest.raises(UserError, match=f"{name} must be .*, found {quantile}"):
        moment_matching.make(config, environment())


def test_as_many_steps_are_paid_less_than_nothing_as_the_quantile_says():
    config = dataclasses.replace(
        SMALL, baseline="least", baseline_quantile=0.3, learning_rate=0.0, final_learning_rate=0.0
    )
    model = moment_matching.make(config, environment())
    state, _ = model.update(jax.random.key(0), model.init(jax.random.key(1), UNIT), AGENT, EXPERT)
    paid = model.score.apply(model.params(state), (), AGENT)[0]
    assert float((paid < 0.0).mean()) == pytest.approx(0.3, abs=1.0 / len(paid))


@pytest.mark.parametrize("expert_quantile", [0.0, 0.25, 1.0])
def test_no_more_of_what_the_expert_does_is_paid_less_than_nothing(expert_quantile):
    # Half of what the agent does would be, and the expert does the same.
    config = dataclasses.replace(
        SMALL, baseline="least", baseline_quantile=0.5, expert_quantile=expert_quantile
    )
    model = moment_matching.make(config, environment())
    state = model.init(jax.random.key(1), UNIT)
    state, _ = model.update(jax.random.key(0), state, AGENT, AGENT)
    before = model.params(model.init(jax.random.key(1), UNIT))
    before = before | {"baseline": state.baseline}  # the level is of the weights that paid
    paid = model.score.apply(before, (), AGENT)[0]
    least = min(0.5, expert_quantile)
    assert float((paid < -1e-6).mean()) == pytest.approx(least, abs=1.0 / len(paid))


def test_the_baseline_is_part_of_the_reward():
    model = moment_matching.make(dataclasses.replace(SMALL, baseline="agent"), environment())
    params = model.params(jax.jit(model.init)(jax.random.key(0), UNIT))
    before, _ = model.score.apply(params, (), AGENT)
    after, _ = model.score.apply(params | {"baseline": jnp.float32(0.25)}, (), AGENT)
    np.testing.assert_allclose(after, before - 0.25, rtol=1e-6)


def test_rewards_are_read_from_averaged_weights(small):
    state, update = small
    hyper = dataclasses.replace(state.hyper, averaging=jnp.float32(0.75))
    before = dataclasses.replace(state, hyper=hyper)
    after, _ = update(jax.random.key(0), before, AGENT, EXPERT)
    jax.tree.map(
        lambda read, old, new: np.testing.assert_allclose(read, 0.75 * old + 0.25 * new, rtol=1e-5),
        moment_matching.make(SMALL, environment()).params(after)["network"],
        before.average,
        after.network,
    )


def test_the_baseline_is_of_rewards_as_policies_see_them():
    config = dataclasses.replace(SMALL, baseline="agent", input_noise=5.0)
    model = moment_matching.make(config, environment())
    before = jax.jit(model.init)(jax.random.key(0), UNIT)
    rewards, _ = model.score.apply(model.params(before), (), AGENT)  # b is still 0
    after, _ = jax.jit(model.update)(jax.random.key(0), before, AGENT, EXPERT)
    np.testing.assert_allclose(after.baseline, rewards.mean(), rtol=1e-4)


def test_changed_parameters_do_not_recompile(counted):
    model = moment_matching.make(SMALL, environment())
    score = counted(lambda params, batch: model.score.apply(params, (), batch)[0])
    compiled, init = jax.jit(score), jax.jit(model.init)
    found = [
        compiled(model.params(init(jax.random.key(seed), UNIT)), AGENT)[0] for seed in range(3)
    ]
    assert score.count == 1
    assert len(set(map(float, found))) == 3


# Its variations.


def updated(model, state, num=1):
    update = jax.jit(model.update)
    for seed in range(num):
        state, _ = update(jax.random.key(seed), state, AGENT, EXPERT)
    return state


@pytest.mark.parametrize(
    ("output", "paid"),
    [
        ("linear", 1.5),
        ("logit", 1.5),
        ("sigmoid", 1 / (1 + math.exp(-1.5))),
        ("clipped", 4.5 / 6),
    ],
)
def test_outputs_by_hand(output, paid):
    config = moment_matching.Config(hidden=(), output=output)
    model = moment_matching.make(config, environment())
    params = model.params(jax.jit(model.init)(jax.random.key(0), UNIT))
    params["network"]["params"]["output"] = {
        "kernel": jnp.full((1, 1), 0.5),
        "bias": jnp.ones((1,)),
    }
    np.testing.assert_allclose(model.score.apply(params, (), rows([[1.0]]))[0], [paid], rtol=1e-6)


def test_a_logit_is_fitted_as_a_sigmoid():
    found = []
    for output in ("logit", "sigmoid"):
        model = moment_matching.make(dataclasses.replace(SMALL, output=output), environment())
        found.append(updated(model, jax.jit(model.init)(jax.random.key(0), UNIT)).network)
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_optimism_expects_the_last_change_again():
    # Adam is blind to a gradient's size, so the optimiser is looked at directly: 2 g - g_before.
    hyper = dataclasses.replace(
        jax.jit(moment_matching.make(SMALL, environment()).init)(jax.random.key(0), UNIT).hyper,
        optimism=jnp.float32(1.0),
    )
    optimiser = moment_matching.optimiser(hyper)
    state = optimiser.init(jnp.zeros(()))
    for gradient in (1.0, 3.0):
        _, state = optimiser.update(jnp.float32(gradient), state)
    # Its first moment after 1 and 2·3 - 1 = 5: .1 · 5 + .9 · .1
    np.testing.assert_allclose(state[1].mu, 0.59, rtol=1e-5)


def test_spectral_normalisation_keeps_slopes_below_one():
    config = dataclasses.replace(
        SMALL, hidden=(8, 8), spectral=True, output="linear", gradient_penalty=0.0
    )
    model = moment_matching.make(config, environment(obs_shape=(2,)))
    demos = demonstrations(np.random.default_rng(0).normal(size=(20, 2)))
    state = jax.jit(model.init)(jax.random.key(0), demos)
    agent, expert = rows(np.full((4, 2), -1.0)), rows(np.full((4, 2), 1.0))
    update = jax.jit(model.update)
    for seed in range(40):
        state, _ = update(jax.random.key(seed), state, agent, expert)
    params = model.params(state)
    for layer in params["network"]["params"].values():
        assert np.linalg.svd(layer["kernel"], compute_uv=False)[0] <= 1.05
    raw = [np.linalg.svd(x["kernel"])[1][0] for x in state.network["params"].values()]
    assert max(raw) > 1.2  # the weights themselves did grow
    slopes = jax.vmap(jax.grad(lambda x: model.score.apply(params, (), rows(x[None]))[0][0]))
    norms = np.linalg.norm(slopes(jax.random.normal(jax.random.key(1), (50, 2))), axis=-1)
    assert norms.max() * params["std"].min() <= 1.1  # per raw unit, and in standardised ones


def test_dying_is_paid_as_the_absorbing_state():
    model = moment_matching.make(dataclasses.replace(SMALL, absorbing_steps=7), environment())
    params = model.params(jax.jit(model.init)(jax.random.key(0), UNIT))
    params["network"] = jax.tree.map(lambda x: x + 0.3, params["network"])
    alive = rows([[0.3], [0.7]])
    dead = dataclasses.replace(alive, terminated=jnp.array([False, True]))
    before, after = (model.score.apply(params, (), batch)[0] for batch in (alive, dead))
    # In the absorbing state the standardised observation is 0 and the indicator 1.
    weights = params["network"]["params"]
    hidden = jax.nn.relu(weights["hidden_0"]["kernel"][1] + weights["hidden_0"]["bias"])
    value = jax.nn.sigmoid(hidden @ weights["output"]["kernel"] + weights["output"]["bias"])
    np.testing.assert_allclose(after - before, [0.0, 7 * value[0]], rtol=1e-5)


def test_the_absorbing_state_takes_its_share_of_time():
    # One in four ends, for 9 steps each: 2.25 / (1 + 2.25) of the time.
    states = jnp.tile(jnp.array([1.0, 1.0, 0.0]), (4000, 1))
    ended = jnp.arange(4000) % 4 == 0
    visited = np.asarray(absorbing.visit(jax.random.key(0), states, ended, 9))
    share = (visited[:, -1] == 1).mean()
    assert abs(share - 2.25 / 3.25) < 0.03
    assert {tuple(row) for row in visited} == {(1.0, 1.0, 0.0), (0.0, 0.0, 1.0)}
    same = absorbing.visit(jax.random.key(0), states, jnp.zeros(4000, bool), 9)
    np.testing.assert_array_equal(same, states)


def test_noise_leaves_the_indicator_of_the_absorbing_state_alone():
    def means(noise):
        config = dataclasses.replace(SMALL, absorbing_steps=7, input_noise=noise)
        model = moment_matching.make(config, environment())
        state = jax.jit(model.init)(jax.random.key(0), UNIT)
        weights = state.network["params"]["hidden_0"]
        only = {**weights, "kernel": weights["kernel"].at[0].set(0.0).at[1].set(1.0)}
        network = {"params": {**state.network["params"], "hidden_0": only}}
        state = dataclasses.replace(state, network=network)
        ended = dataclasses.replace(AGENT, terminated=jnp.arange(len(AGENT.obs)) % 4 == 0)
        metrics = jax.jit(model.update)(jax.random.key(0), state, ended, EXPERT)[1]
        return [metrics[f"reward/{who}_mean"] for who in ("agent", "expert")]

    assert len(set(map(float, means(0.0)))) == 2  # some of the agent's are in that state
    np.testing.assert_array_equal(means(5.0), means(0.0))


# Its optimum. In one dimension, with q the density of the interpolates and F distributions,
#     f'(x) = k + (F_agent(x) - F_expert(x)) / 2c q(x)
# maximises E_expert f - E_agent f - c E_q (f' - k)²: the Euler-Lagrange equation, integrated.

UPDATES = 600
BATCH = 256
GRID = np.linspace(-6.0, 6.0, 1201)
CASES = {  # mean and deviation of the agent and of the expert, c, k
    "same": (0.0, 1.0, 0.0, 1.0, 10.0, 0.05),
    "points": (-1.0, 0.0, 1.0, 0.0, 10.0, 0.2),
    "gaussians": (-1.0, 1.0, 1.0, 1.0, 10.0, 0.02),
    "free": (-1.0, 1.0, 1.0, 1.0, 0.0, 0.0),
}
STEEP = {  # of an unbounded f
    "points": (-1.0, 0.0, 1.0, 0.0, 10.0, 1.0),
    "gaussians": (-1.0, 1.0, 1.0, 1.0, 10.0, 1.0),
}


def trained(cases, **changes):
    """f on the grid and the mean of the last hundred updates' metrics, for each case."""
    config = moment_matching.Config(
        hidden=(32, 32),
        activation="tanh",
        batch_size=BATCH,
        learning_rate=1e-2,
        final_learning_rate=1e-4,
        schedule_updates=UPDATES,
        **changes,
    )
    model = moment_matching.make(config, environment())

    def train(key, agent_mean, agent_std, expert_mean, expert_std, weight, target):
        key_init, key_updates = jax.random.split(key)
        state = model.init(key_init, UNIT)
        hyper = dataclasses.replace(state.hyper, gradient_penalty=weight, gradient_target=target)
        state = dataclasses.replace(state, hyper=hyper)

        def advance(state, key):
            key_agent, key_expert, key = jax.random.split(key, 3)
            agent = agent_mean + agent_std * jax.random.normal(key_agent, (BATCH, 1))
            expert = expert_mean + expert_std * jax.random.normal(key_expert, (BATCH, 1))
            return model.update(key, state, rows(agent), rows(expert))

        keys = jax.random.split(key_updates, UPDATES)
        state, metrics = jax.lax.scan(advance, state, keys)
        grid = rows(jnp.asarray(GRID, jnp.float32)[:, None])
        values, _ = model.score.apply(model.params(state), (), grid)
        return values, jax.tree.map(lambda x: x[-100:].mean(), metrics)

    keys = jax.random.split(jax.random.key(0), len(cases))
    columns = (jnp.asarray(column) for column in zip(*cases.values(), strict=True))
    values, metrics = jax.jit(jax.vmap(train))(keys, *columns)
    return {
        name: (np.asarray(values[i]), {k: float(v[i]) for k, v in metrics.items()})
        for i, name in enumerate(cases)
    }


@pytest.fixture(scope="module")
def optimum():
    return trained(CASES)


@pytest.fixture(scope="module")
def steep():
    return trained(STEEP, output="linear", one_sided=True, baseline="agent")


def between(low, high):
    return (low <= GRID) & (high >= GRID)


def normal_cdf(x):
    return np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])


def interpolate_density(mean):
    """Density of u e + (1 - u) a with e ~ N(mean, 1), a ~ N(-mean, 1) and u uniform in [0, 1]."""
    u = (np.arange(2000)[:, None] + 0.5) / 2000
    centre, variance = (2 * u - 1) * mean, u**2 + (1 - u) ** 2
    kernel = np.exp(-((GRID - centre) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return kernel.mean(0)


def test_nothing_separates_an_agent_from_itself(optimum):
    values, metrics = optimum["same"]
    assert abs(metrics["reward/gap"]) < 0.01
    slopes = np.gradient(values, GRID)[between(-1.5, 1.5)]
    np.testing.assert_allclose(np.abs(slopes), 0.05, atol=0.02)  # the penalty alone decides


def test_optimum_between_two_points(optimum):
    # q = 1/2 and F_agent - F_expert = 1 between them: f' = k + 1/c = 0.3, a gap of 0.6
    values, metrics = optimum["points"]
    inside = between(-0.9, 0.9)
    np.testing.assert_allclose(np.gradient(values, GRID)[inside], 0.3, atol=0.04)
    np.testing.assert_allclose(metrics["reward/gap"], 0.6, atol=0.03)
    np.testing.assert_allclose(metrics["reward/penalty"], 0.1**2, rtol=0.2)


def test_optimum_between_two_gaussians(optimum):
    values, metrics = optimum["gaussians"]
    *_, weight, target = CASES["gaussians"]
    difference = normal_cdf(GRID + 1.0) - normal_cdf(GRID - 1.0)
    slopes = target + difference / (2 * weight * interpolate_density(1.0))
    inside = between(-2.0, 2.0)
    found = np.gradient(values, GRID)
    np.testing.assert_allclose(found[inside], slopes[inside], atol=0.03)
    assert (found[between(-3.0, 3.0)] > 0).all()  # from the agent to the expert
    gap = np.sum(slopes * difference) * (GRID[1] - GRID[0])
    np.testing.assert_allclose(metrics["reward/gap"], gap, atol=0.03)


def test_without_penalty_the_gap_is_the_total_variation(optimum):
    # The best f in [0, 1] is 1 where the expert is likelier, at x > 0: Φ(1) - Φ(-1) = 0.683
    values, metrics = optimum["free"]
    np.testing.assert_allclose(metrics["reward/gap"], math.erf(1 / math.sqrt(2)), atol=0.03)
    assert (values[between(-3.0, -0.5)] < 0.2).all() and (values[between(0.5, 3.0)] > 0.8).all()
    assert (values >= 0).all() and (values <= 1).all()


def test_linear_optimum_between_two_points(steep):
    # f' = k + 1/c = 1.1, a gap of 2.2; the agent's mean, at -1, is worth nothing.
    values, metrics = steep["points"]
    inside = between(-0.9, 0.9)
    np.testing.assert_allclose(np.gradient(values, GRID)[inside], 1.1, atol=0.05)
    np.testing.assert_allclose(metrics["reward/gap"], 2.2, atol=0.05)
    np.testing.assert_allclose(np.interp(-1.0, GRID, values), 0.0, atol=0.1)


def test_linear_optimum_rises_steadily_far_from_the_expert(steep):
    values, _ = steep["gaussians"]
    *_, weight, target = STEEP["gaussians"]
    difference = normal_cdf(GRID + 1.0) - normal_cdf(GRID - 1.0)
    slopes = target + difference / (2 * weight * interpolate_density(1.0))
    inside = between(-2.0, 2.0)
    np.testing.assert_allclose(np.gradient(values, GRID)[inside], slopes[inside], atol=0.08)
