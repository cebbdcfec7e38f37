"""Exact values on the 50x50 gridworld that were computed elsewhere, by other means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.environments import gridworld50
from evil.tabular import occupancy, paths, planning, worlds
from evil.tabular.dynamics import Table
from evil.tabular.mdp import in_form

WORLD = worlds.make("gridworld50")
MDP = WORLD.mdp
SLIPPERY = worlds.large_mdp(
    gridworld50.Params(
        payment=gridworld50.default_params().payment,
        starts=gridworld50.default_params().starts,
        execution=jnp.asarray(gridworld50.SLIPPERY),
    )
)
SOFT = {  # treatment of the end: by scale of the reward, return, length, probability of the goal
    "zero": {1: (-10.520, 199.94, 0.14701), 3: (3.114, 199.73, 0.4966), 10: (9.934, 199.32, 1.0)},
    "absorb": {1: (-4.532, 127.02, 0.54408), 3: (5.938, 98.13, 0.8160), 10: (9.880, 90.24, 1.0)},
    "continue": {1: (1.145, 48.69, 1.0), 3: (6.369, 48.67, 1.0), 10: (7.887, 48.67, 1.0)},
}


@pytest.mark.parametrize("mdp", [MDP, SLIPPERY], ids=["certain", "slippery"])
def test_random_actions(mdp):
    # By symmetry of the noise the same in both worlds.
    found = occupancy.prospects(mdp, occupancy.uniform(mdp), 200)
    np.testing.assert_allclose(found.value, -67.6408, atol=1e-4)
    np.testing.assert_allclose(found.length, 198.244, atol=5e-4)
    np.testing.assert_allclose(found.arrival, 0.015597, atol=1e-6)


@pytest.mark.parametrize("terminal", SOFT)
def test_soft_optima_by_what_follows_the_end(terminal):
    @jax.jit
    def judge(scale):
        plan = planning.finite(MDP, MDP.reward * scale, 200, terminal=terminal)
        return occupancy.prospects(MDP, plan.policy, 200)

    for scale, (value, length, arrival) in SOFT[terminal].items():
        found = judge(float(scale))
        np.testing.assert_allclose(found.value, value, atol=6e-4)  # the table has three decimals
        np.testing.assert_allclose(found.length, length, atol=6e-3)
        np.testing.assert_allclose(found.arrival, arrival, atol=6e-5)


def test_the_optimum():
    plan = planning.finite(MDP, MDP.reward, 200, temperature=0.0)
    found = occupancy.prospects(MDP, plan.policy, 200)
    np.testing.assert_allclose([found.value, found.arrival], [10.0, 1.0], atol=1e-4)
    np.testing.assert_allclose(MDP.start @ plan.values[0], 10.0, atol=1e-4)


def test_the_optimum_of_a_slippery_world():
    plan = planning.finite(SLIPPERY, SLIPPERY.reward, 200, temperature=0.0)
    found = occupancy.prospects(SLIPPERY, plan.policy, 200)
    np.testing.assert_allclose(found.value, 0.42753, atol=1e-4)
    worst = plan.values[0][gridworld50.default_params().starts].min()
    np.testing.assert_allclose(worst, -5.495, atol=6e-4)


def test_partition_functions_of_the_published_length():
    """At a reward of 0.5 everywhere Z spans 5.5e52 to 1.0e80: float32 holds its logarithm."""
    log_z, _ = paths.fixed_length(MDP, jnp.full((2500, 4), 0.5), 100)
    finite = log_z[jnp.isfinite(log_z)]
    assert finite.shape == (2500,)
    np.testing.assert_allclose(finite.min(), np.log(5.5e52), atol=0.01)
    np.testing.assert_allclose(finite.max(), np.log(1.0e80), atol=0.06)
    policy = paths.fixed_length_policy(MDP, jnp.full((2500, 4), 0.5), 100)
    np.testing.assert_allclose(paths.fixed_length_visits(MDP, policy, 70).sum(), 70.0, rtol=1e-5)


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_the_gradient_of_the_soft_value_is_the_occupancy(discount):
    reward = jax.random.normal(jax.random.key(0), (2500, 4))

    @jax.jit
    def both(reward):
        slope = jax.grad(
            lambda r: planning.soft_value(MDP, r, 200, discount=discount, terminal="absorb")
        )(reward)
        policy = planning.finite(MDP, reward, 200, discount=discount).policy
        return slope, occupancy.occupancy(MDP, policy, 200, discount=discount)

    slope, visits = both(reward)
    np.testing.assert_allclose(slope, visits, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(visits.sum(), (1 - discount**200) / 0.1 if discount < 1 else 200.0,
                               rtol=0.2)  # fmt: skip


def test_forms_plan_alike():
    noisy = worlds.large_mdp(gridworld50.default_params())  # by a matrix that is the identity
    forms = (MDP, in_form(MDP, Table), noisy)
    first, *others = (planning.finite(mdp, mdp.reward, 200).values[0] for mdp in forms)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-6)


def test_the_environment_is_the_world():
    """Every cell and action: the same successor, reward and end."""
    params = gridworld50.default_params()
    cells, actions = (jnp.asarray(x.ravel()) for x in np.indices((2500, 4)))
    step = jax.vmap(gridworld50.step, (None, 0, 0, None))
    after, outcome = step(jax.random.key(0), cells, actions, params)
    successor = MDP.dynamics.table().successor[cells, actions]
    np.testing.assert_array_equal(after, successor)
    np.testing.assert_allclose(outcome.reward, WORLD.mdp.reward[cells, actions], atol=1e-6)
    before_end = cells != gridworld50.GOAL
    np.testing.assert_array_equal(
        outcome.terminated[before_end], WORLD.mdp.end[successor][before_end]
    )
    np.testing.assert_array_equal(WORLD.state_of(outcome.next_obs), after)
