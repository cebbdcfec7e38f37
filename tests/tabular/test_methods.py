"""Maximum entropy, causal entropy and relative entropy: what they recover where it is known."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.errors import UserError
from evil.tabular import (
    distances,
    fitting,
    maxent,
    mce,
    occupancy,
    optimisers,
    planning,
    relent,
    rewards,
    trajectories,
    worlds,
)
from evil.tabular.dynamics import Grid
from evil.tabular.mdp import assembled

# Four by four cells, the goal in a corner, and a cell that costs something on the way.
GRID = Grid(rows=4, columns=4)
PAID = np.zeros(16)
PAID[[5, 10]], PAID[15] = -1.0, 3.0
REWARD = PAID[np.asarray(GRID.table().successor)]
MDP = assembled(GRID, REWARD, np.append(np.full(8, 0.125), np.zeros(8)), np.arange(16) == 15)
PLACE = jnp.stack(jnp.divmod(jnp.arange(16), 4), -1) / 3.0
WORLD = worlds.of(MDP, 12, features=PLACE)
EXPERT = planning.finite(MDP, 2.0 * MDP.reward, 12).policy
ROLLED = jax.jit(lambda key: trajectories.rollout(key, MDP, EXPERT, 12, 2000))(jax.random.key(1))
TASK = fitting.Task(mdp=MDP, demos=ROLLED)
WORTH = float(jnp.sum(trajectories.visits(ROLLED, MDP) * MDP.reward))
FIT = fitting.Config(updates_per_iteration=100)


def fit(algorithm, task=TASK, iterations=2, key=0):
    @jax.jit
    def run(key):
        state = algorithm.init(key, task)
        step = lambda state, _: algorithm.step(state, task)  # noqa: E731
        return jax.lax.scan(step, state, length=iterations)

    state, metrics = run(jax.random.key(key))
    return state, jax.tree.map(np.asarray, metrics)


@pytest.mark.parametrize(
    "optimiser, rate",
    [("adam", 0.1), ("sgd", 1.0), ("lbfgs", 1.0)],
)
def test_causal_entropy_matches_visits_whatever_the_optimiser(optimiser, rate):
    config = dataclasses.replace(
        FIT,
        optimiser=optimisers.Config(name=optimiser),
        learning_rate=rate,
    )
    if optimiser == "lbfgs":
        config = dataclasses.replace(config, updates_per_iteration=30)
    algorithm = mce.make(mce.Config(fit=config), WORLD)
    _, metrics = fit(algorithm)
    assert metrics["agent/return"][-1] == pytest.approx(WORTH, abs=0.15)
    assert metrics["reward/largest_gradient"][-1] < 0.05
    assert metrics["reward/loss"][-1] < metrics["reward/loss"][0]


def test_the_loss_has_a_minimum_whatever_the_first_states_were():
    """It is a negative log-likelihood, so no reward makes it negative: not even one that is a
    potential, along which J and ⟨r, μ⟩ would part for good if their first states were others."""
    one = dataclasses.replace(ROLLED, count=jnp.array(1))
    algorithm = mce.make(mce.Config(fit=FIT), WORLD)
    state = algorithm.init(jax.random.key(0), fitting.Task(mdp=MDP, demos=one))
    visits = state.expert["visits"]
    potential = jnp.where(MDP.end, 0.0, jnp.arange(16.0))
    shaping = MDP.dynamics.backward(potential) - potential[:, None]
    shaping = jnp.where(MDP.end[:, None], 0.0, shaping)
    worst = 0.0
    for reward in (100.0 * shaping, -100.0 * shaping):
        gaps = [
            float(planning.soft_value(mdp, reward, 12) - jnp.sum(reward * visits))
            for mdp in (fitting.begun(state), MDP)
        ]
        assert gaps[0] > -0.1
        worst = min(worst, gaps[1])
    assert worst < -10.0  # as it was with the first states of the world


def test_exponentiated_gradients_stay_positive():
    config = dataclasses.replace(
        FIT,
        optimiser=optimisers.Config(name="exponentiated"),
        learning_rate=0.3,
        reward=rewards.Config(level=1.0),
    )
    state, metrics = fit(mce.make(mce.Config(fit=config), WORLD))
    assert float(state.params.min()) > 0.0
    assert metrics["reward/loss"][-1] < metrics["reward/loss"][0]
    step = optimisers.exponentiated().update(jnp.log(2.0), optimisers.optax.EmptyState(), 3.0)[0]
    np.testing.assert_allclose(3.0 + step, 6.0, rtol=1e-6)


def test_the_gradient_vanishes_at_the_experts_own_reward():
    exact = occupancy.occupancy(MDP, EXPERT, 12)
    slope = jax.grad(lambda r: planning.soft_value(MDP, r, 12) - jnp.sum(r * exact))
    np.testing.assert_allclose(slope(2.0 * MDP.reward), 0.0, atol=1e-6)


def test_maximum_entropy_is_causal_entropy_where_nothing_is_left_to_chance():
    by_paths = maxent.make(maxent.Config(fit=FIT), WORLD)
    by_cause = mce.make(mce.Config(fit=FIT, terminal="zero"), WORLD)
    (_, first), (_, second) = fit(by_paths), fit(by_cause)
    np.testing.assert_allclose(first["agent/return"], second["agent/return"], atol=1e-3)
    assert first["agent/return"][-1] == pytest.approx(WORTH, abs=0.15)


def test_the_published_maximum_entropy_runs_as_published():
    config = maxent.Config(
        fit=dataclasses.replace(
            FIT, optimiser=optimisers.Config(name="sgd"), reward=rewards.Config(inputs="state")
        ),
        paths="fixed_length",
        path_length=12,
        visit_length=8,
    )
    state, metrics = fit(maxent.make(config, WORLD))
    assert np.isfinite(metrics["agent/return"]).all()
    assert metrics["agent/return"][-1] > occupancy.prospects(MDP, occupancy.uniform(MDP), 12).value
    visits = state.expert["visits"].sum()  # final states are counted
    np.testing.assert_allclose(visits, ROLLED.length.mean() + 1, rtol=1e-4)


def test_relative_entropy_needs_no_model_to_find_the_expert():
    config = relent.Config(
        fit=dataclasses.replace(FIT, learning_rate=0.05), num_episodes=128, per_start=8
    )
    _, metrics = fit(relent.make(config, WORLD), iterations=4)
    assert metrics["agent/return"][-1] == pytest.approx(WORTH, abs=0.3)


def test_relative_entropys_bound_is_that_of_its_tutorial():
    assert relent.tolerance(10, 0, 1.0, 1e-4) == pytest.approx(0.00224, abs=5e-6)
    assert relent.tolerance(10, 30, 0.99, 1e-4) == pytest.approx(0.0599, abs=5e-5)


def test_importance_weights_are_unbiased_in_log_space():
    """log E_π U/π exp R of sampled episodes is the exact log Z, up to the count of actions."""
    table = jnp.asarray(np.random.default_rng(0).normal(size=(16, 4)) * 0.2, jnp.float32)
    uniform = occupancy.uniform(MDP)
    policy = relent.player("expert", EXPERT[0], 0.5)
    found = jax.jit(lambda key: trajectories.rollout(key, MDP, policy, 12, 20_000))(
        jax.random.key(2)
    )
    ratio = relent.log_ratio(uniform, policy, found)
    estimate = relent.log_mean_weight(table, found, ratio, 1.0, per_start=len(ratio))
    from evil.tabular import paths

    # A uniform action has probability 1/4: the same as a reward lower by log 4, per step taken.
    def exact(reward):
        def earlier(log_z, _):
            weights = paths.log_weights(MDP, reward - jnp.log(4.0), log_z)
            return jax.nn.logsumexp(weights, axis=-1), None

        log_z, _ = jax.lax.scan(earlier, jnp.zeros(16), length=12)
        return jax.nn.logsumexp(log_z, b=MDP.start)

    np.testing.assert_allclose(estimate, exact(table), atol=0.1)


def test_a_network_is_a_reward(key):
    config = dataclasses.replace(FIT, reward=rewards.Config(form="network", hidden=(16,)),
                                 learning_rate=0.03)  # fmt: skip
    _, metrics = fit(mce.make(mce.Config(fit=config), WORLD))
    assert metrics["agent/return"][-1] > 0.8 * WORTH
    module = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(4)])
    own = rewards.network(module, PLACE, 4)
    assert own.table(own.init(key)).shape == (16, 4)
    algorithm = mce.make(mce.Config(fit=FIT), WORLD, reward=own)
    assert jax.eval_shape(algorithm.init, key, TASK).params["params"]


def test_seeds_counts_and_worlds_are_lanes():
    algorithm = mce.make(mce.Config(fit=dataclasses.replace(FIT, updates_per_iteration=5)), WORLD)

    def one(key, count, scale):
        mdp = dataclasses.replace(MDP, reward=MDP.reward * scale)
        task = fitting.Task(mdp=mdp, demos=dataclasses.replace(ROLLED, count=count))
        return algorithm.step(algorithm.init(key, task), task)[1]["agent/return"]

    keys, counts = jax.random.split(jax.random.key(0), 3), jnp.array([10, 2000, 2000])
    found = jax.jit(jax.vmap(one))(keys, counts, jnp.array([1.0, 1.0, 2.0]))
    assert found[0] != found[1]
    np.testing.assert_allclose(found[2], 2 * found[1], rtol=1e-4)


def test_stationary_plans():
    config = mce.Config(fit=dataclasses.replace(FIT, discount=0.9), stationary=True)
    state, metrics = fit(mce.make(config, WORLD), iterations=1)
    assert metrics["reward/largest_gradient"][-1] < 0.1
    policy = mce.make(config, WORLD).policy(state)
    action, memory = policy.act(policy.params, jnp.zeros((3, 1)), jax.random.key(0), ())
    assert action.shape == (3,) and memory == ()


def test_distances_are_those_of_their_definition():
    other = jnp.asarray(np.random.default_rng(1).normal(size=(16, 4)), jnp.float32) + MDP.reward
    inside = np.flatnonzero(~np.asarray(MDP.end))
    successor = np.asarray(GRID.table().successor)

    def canonical(reward):
        reward = np.where(np.asarray(MDP.end)[:, None], 0.0, reward)
        mean = reward.mean(axis=1)
        return [
            reward[s, a] + 0.9 * mean[successor[s, a]] - mean[s] for s in inside for a in range(4)
        ]

    expected = np.corrcoef(canonical(np.asarray(MDP.reward)), canonical(np.asarray(other)))[0, 1]
    found = distances.epic(MDP, MDP.reward, other, discount=0.9)
    np.testing.assert_allclose(found, np.sqrt((1 - expected) / 2), atol=1e-5)
    np.testing.assert_allclose(distances.pearson(MDP, MDP.reward, 2 * MDP.reward + 1), 0, atol=1e-3)
    np.testing.assert_allclose(distances.pearson(MDP, MDP.reward, -MDP.reward), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mce.make(mce.Config(stationary=True), WORLD), "a discount below 1"),
        (
            lambda: maxent.make(maxent.Config(fit=dataclasses.replace(FIT, discount=0.9)), WORLD),
            "expected discount 1",
        ),
        (
            lambda: mce.make(
                mce.Config(fit=fitting.Config(optimiser=optimisers.Config(name="exponentiated"))),
                WORLD,
            ),
            "begins positive",
        ),
        (
            lambda: relent.make(relent.Config(randomness=0.0), WORLD),
            "never takes some actions of the baseline 'uniform'",
        ),
        (
            lambda: mce.make(
                mce.Config(fit=fitting.Config(reward=rewards.Config(form="linear"))),
                dataclasses.replace(WORLD, features=None),
            ),
            "needs features",
        ),
        (lambda: rewards.network(nn.Dense(3), PLACE, 4), r"makes \(16, 3\) of features"),
        (lambda: worlds.make("gridwold"), "did you mean gridworld"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()
