"""Planning, occupancy and paths on worlds small enough for pen, paper and linear algebra."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import environments, normalise
from evil.environments import gridworld50
from evil.errors import UserError
from evil.learners import policies as learned
from evil.networks import actor_critic
from evil.tabular import mdp as mdps
from evil.tabular import occupancy, paths, planning, policies

RANDOM = np.random.default_rng(0)
TRANSITION = RANDOM.dirichlet(np.ones(5), (5, 3))
REWARD = RANDOM.normal(size=(5, 3))
WORLD = mdps.from_arrays(TRANSITION, REWARD, np.full(5, 0.2), np.arange(5) == 4)
OPEN = mdps.from_arrays(TRANSITION, REWARD, np.full(5, 0.2))
TABLE = jnp.asarray(RANDOM.normal(size=(5, 3)), jnp.float32)
CHAIN = mdps.from_table([[1, 0], [2, 1], [2, 2]], np.zeros((3, 2)), [1, 0, 0], [False, False, True])


def test_soft_values_by_hand():
    # One step before the end of time V = log(e^1 + e^2); the end itself is worth log 2 a step.
    reward = jnp.array([[1.0, 2.0], [0.0, 0.0], [9.0, 9.0]])
    values = planning.finite(CHAIN, reward, 2).values
    np.testing.assert_allclose(values[1], [np.log(np.e + np.e**2), np.log(2), np.log(2)], rtol=1e-6)
    first = np.log(np.exp(1 + np.log(2)) + np.exp(2 + np.log(np.e + np.e**2)))
    np.testing.assert_allclose(values[0, 0], first, rtol=1e-6)
    zero = planning.finite(CHAIN, reward, 2, terminal="zero").values
    np.testing.assert_allclose(zero[0, 1], np.log(1 + 2), rtol=1e-6)  # end: 0, stay: log 2
    through = planning.finite(CHAIN, reward, 2, terminal="continue").values
    np.testing.assert_allclose(through[1, 2], 9 + np.log(2), rtol=1e-6)


def test_hard_values_are_the_limit_of_soft_ones():
    hard = planning.finite(WORLD, WORLD.reward, 6, temperature=0.0)
    cold = planning.finite(WORLD, WORLD.reward, 6, temperature=1e-3)
    np.testing.assert_allclose(hard.values, cold.values, atol=2e-2)
    np.testing.assert_allclose(hard.policy[:, :4], cold.policy[:, :4], atol=1e-2)
    found = occupancy.policy_values(WORLD, WORLD.reward, hard.policy, 6)
    np.testing.assert_allclose(found[:4], hard.values[0, :4], rtol=1e-5)


@pytest.mark.parametrize("terminal", planning.TERMINALS)
@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_gradients_are_occupancies_and_finite_differences(terminal, discount):
    def value(reward):
        return planning.soft_value(WORLD, reward, 8, discount=discount, terminal=terminal)

    slope = jax.grad(value)(TABLE)
    policy = planning.finite(WORLD, TABLE, 8, discount=discount, terminal=terminal).policy
    visits = occupancy.occupancy(WORLD, policy, 8, discount=discount, ends=terminal != "continue")
    np.testing.assert_allclose(slope, visits, atol=1e-6)
    bump = jnp.zeros_like(TABLE).at[1, 2].set(0.05)
    difference = (value(TABLE + bump) - value(TABLE - bump)) / 0.1
    np.testing.assert_allclose(slope[1, 2], difference, rtol=2e-3)


@pytest.mark.parametrize("terminal", ["absorb", "continue"])
def test_the_fixed_point_solves_its_equations(terminal):
    found = planning.stationary(WORLD, TABLE, discount=0.9, terminal=terminal)
    again = planning.backup(WORLD, TABLE, found.values, 0.9, terminal)
    np.testing.assert_allclose(planning.improve(again, 1.0)[0], found.values, atol=1e-5)
    slope = jax.grad(lambda r: planning.soft_value(WORLD, r, None, discount=0.9, terminal=terminal))
    ends = terminal != "continue"
    alive = np.where(np.asarray(WORLD.end) & ends, 0.0, 1.0)
    onward = np.einsum("sa,san->sn", found.policy, TRANSITION) * alive[:, None] * alive
    mass = np.linalg.solve(np.eye(5) - 0.9 * onward.T, 0.2 * alive)
    np.testing.assert_allclose(slope(TABLE), mass[:, None] * found.policy, atol=1e-4)


def test_policy_values_solve_linear_equations():
    policy = np.asarray(planning.stationary(OPEN, TABLE, discount=0.9).policy)
    moves, paid = np.einsum("sa,san->sn", policy, TRANSITION), (policy * REWARD).sum(-1)
    expected = np.linalg.solve(np.eye(5) - 0.9 * moves, paid)
    found = occupancy.policy_values(OPEN, OPEN.reward, jnp.asarray(policy), 200, discount=0.9)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_occupancy_adds_up():
    found = occupancy.prospects(CHAIN, jnp.tile(jnp.array([0.5, 0.5]), (3, 1)), 3)
    # The end needs two goes: it is reached in 2 steps with 1/4, in 3 with 1/4 more.
    np.testing.assert_allclose(found.arrival, 0.5, rtol=1e-6)
    np.testing.assert_allclose(found.length, 2 * 0.25 + 3 * 0.75, rtol=1e-6)


def test_partition_functions_count_every_path():
    """Σ over all 2^3 action sequences of a world without noise, cut where its episode ends."""
    reward = jnp.asarray(RANDOM.normal(size=(3, 2)), jnp.float32)
    successor = np.array([[1, 0], [2, 1], [2, 2]])
    weights, counts = {}, {}
    for actions in itertools.product(range(2), repeat=3):
        state, steps = 0, []
        for action in actions:
            if state == 2:
                break
            steps.append((state, action))
            state = successor[state, action]
        weights[tuple(steps)] = np.exp(sum(float(reward[step]) for step in steps))
        counts[tuple(steps)] = steps
    total = sum(weights.values())
    value, slope = jax.value_and_grad(lambda r: paths.log_partition(CHAIN, r, 3))(reward)
    np.testing.assert_allclose(value, np.log(total), rtol=1e-6)
    expected = np.zeros((3, 2))
    for path, weight in weights.items():
        for step in counts[path]:
            expected[step] += weight / total
    np.testing.assert_allclose(slope, expected, atol=1e-6)
    visits = occupancy.occupancy(CHAIN, paths.policy(CHAIN, reward, 3), 3)
    np.testing.assert_allclose(visits, expected, atol=1e-6)


def test_paths_of_one_length_that_do_not_exist_leave_a_uniform_policy():
    policy = paths.fixed_length_policy(CHAIN, jnp.zeros((3, 2)), 1)  # only 1 -> 2 in one step
    np.testing.assert_allclose(policy, [[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((None, 1.0, "absorb"), "an infinite horizon needs a discount below 1"),
        ((5, 1.1, "absorb"), "discount must be above 0 and at most 1, found 1.1"),
        ((0, 1.0, "absorb"), "horizon must be at least 1, found 0"),
        ((5, 1.0, "absorbed"), "did you mean absorb"),
    ],
)
def test_impossible_plans_are_refused(given, words):
    with pytest.raises(UserError, match=words):
        planning.check(*given)


def test_a_policy_as_a_table() -> None:
    env = environments.make("gridworld50")
    config = actor_critic.Config(hidden=(), embed=True)
    module = actor_critic.make(config, env.spec)
    params = {"network": module.init(jax.random.key(0), jnp.zeros((1, 2)))}
    policy = learned.make(config, module, params | {"obs_moments": normalise.init((2,))})
    states = jnp.array([0, 51, 2499])
    found = policies.tabulate(policy, gridworld50.observe(states), 4)
    logits = params["network"]["params"]["actor_network"]["output"]["table"]
    np.testing.assert_allclose(found, jax.nn.softmax(logits[states]), rtol=1e-5)
    mute = dataclasses.replace(policy, log_prob=None)
    with pytest.raises(UserError, match="needs its log_prob"):
        policies.tabulate(mute, gridworld50.observe(states), 4)
