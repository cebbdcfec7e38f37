"""Three forms of transitions that agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.environments import gridworld50
from evil.tabular.dynamics import Dense, Grid, Table, dense, log_sum_exp

NOISE = jnp.asarray(gridworld50.SLIPPERY)
VALUES = jax.random.normal(jax.random.key(0), (12,))
VISITS = jax.random.uniform(jax.random.key(1), (12, 4))


@pytest.fixture(params=["certain", "slippery"], scope="module")
def forms(request):
    grid = Grid(rows=4, columns=3, execution=NOISE if request.param == "slippery" else None)
    return grid, grid.table(), dense(grid)


def test_forms_agree(forms):
    grid, *others = forms
    assert isinstance(others[0], Table) and isinstance(others[1], Dense)
    for other in others:
        np.testing.assert_allclose(other.backward(VALUES), grid.backward(VALUES), atol=1e-6)
        np.testing.assert_allclose(other.forward(VISITS), grid.forward(VISITS), atol=1e-6)
        np.testing.assert_allclose(other.log_backward(VALUES), grid.log_backward(VALUES), atol=1e-6)


def test_forward_is_the_transpose_of_backward(forms):
    for form in forms:
        there = jnp.sum(VISITS * form.backward(VALUES))
        np.testing.assert_allclose(jnp.sum(form.forward(VISITS) * VALUES), there, rtol=1e-5)
        np.testing.assert_allclose(form.forward(VISITS).sum(), VISITS.sum(), rtol=1e-6)


def test_the_logarithm_is_that_of_the_expectation(forms):
    for form in forms:
        expected = np.log(np.asarray(form.backward(jnp.exp(VALUES))))
        np.testing.assert_allclose(form.log_backward(VALUES), expected, atol=1e-5)
        far = form.log_backward(VALUES + 1e4)  # whose exponential is no number
        np.testing.assert_allclose(far - 1e4, expected, atol=1e-2)


def test_probabilities_and_samples_are_those_of_the_array(forms):
    transition = np.asarray(forms[2].transition)
    np.testing.assert_allclose(transition.sum(-1), 1.0, rtol=1e-6)
    state, action, successor = (jnp.asarray(x.ravel()) for x in np.indices((12, 4, 12)))
    for form in forms:
        found = form.probability(state, action, successor).reshape(12, 4, 12)
        np.testing.assert_allclose(found, transition, atol=1e-6)
        keys = jax.random.split(jax.random.key(2), 200)
        drawn = jax.vmap(form.sample, (0, None, None))(keys, jnp.int32(4), jnp.int32(1))
        assert drawn.dtype == jnp.int32 and (transition[4, 1, np.asarray(drawn)] > 0).all()


def test_moves_of_a_grid():
    # 0 1 2 / 3 4 5 / ...: up, down, left, right of a corner and of the middle.
    successor = np.asarray(Grid(rows=4, columns=3).table().successor)
    np.testing.assert_array_equal(successor[0], [0, 3, 0, 1])
    np.testing.assert_array_equal(successor[4], [1, 7, 3, 5])
    np.testing.assert_array_equal(successor[11], [8, 11, 10, 11])


def test_nothing_sums_to_minus_infinity_without_harm():
    empty = jnp.array([[-jnp.inf, -jnp.inf], [0.0, -jnp.inf]])
    np.testing.assert_array_equal(log_sum_exp(empty), [-jnp.inf, 0.0])
    slope = jax.grad(lambda x: jnp.where(jnp.isfinite(log_sum_exp(x)), log_sum_exp(x), 0.0).sum())
    assert np.isfinite(slope(empty)).all()
