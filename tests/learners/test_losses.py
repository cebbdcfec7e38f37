"""Every loss by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.learners import losses

RATIOS = jnp.array([1.5, 0.5, 1.5, 0.5, 1.1])
ADVANTAGES = jnp.array([1.0, 1.0, -1.0, -1.0, 2.0])


def surrogate(log_prob):
    return losses.clipped_surrogate(log_prob, jnp.zeros(5), ADVANTAGES, clip=0.2)


def test_surrogate_by_hand():
    # min(1.5, 1.2) + min(.5, .8) + min(-1.5, -1.2) + min(-.5, -.8) + min(2.2, 2.2)
    # = 1.2 + .5 - 1.5 - .8 + 2.2 = 1.6, over 5 samples
    np.testing.assert_allclose(surrogate(jnp.log(RATIOS)), -0.32, rtol=1e-6)


def test_surrogate_gains_nothing_beyond_the_clip():
    # d/d log ρ of -ρA/5 where the unclipped term is the smaller one, 0 elsewhere
    gradient = jax.grad(surrogate)(jnp.log(RATIOS))
    np.testing.assert_allclose(gradient, [0.0, -0.1, 0.3, 0.0, -0.44], rtol=1e-5)


def test_value_error_by_hand():
    # (4 + 0) / 2 / 2
    found = losses.value_error(jnp.array([1.0, 2.0]), jnp.array([3.0, 2.0]))
    np.testing.assert_allclose(found, 1.0)


def test_clipped_value_error_by_hand():
    # moved: 1.25, 1, .75; errors max(0, .5625), max(1, 1), max(4, 1.5625); (.5625 + 1 + 4) / 3 / 2
    value, old, target = jnp.array([2.0, 1.0, 0.0]), jnp.ones(3), jnp.array([2.0, 0.0, 2.0])
    found = losses.clipped_value_error(value, old, target, clip=0.25)
    np.testing.assert_allclose(found, 5.5625 / 6, rtol=1e-6)


def test_standardise_by_hand():
    # mean 2, deviation √(2/3)
    found = losses.standardise(jnp.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(found, np.array([-1.0, 0.0, 1.0]) / np.sqrt(2 / 3), rtol=2e-5)
    np.testing.assert_array_equal(losses.standardise(jnp.full(4, 3.0)), jnp.zeros(4))


def test_standardising_equal_advantages_does_not_blow_up_their_rounding():
    assert jnp.abs(losses.standardise(jnp.full(16, 0.95))).max() < 0.02


def test_kl_by_hand():
    # ratios 2 and 1/2: (2 - 1 - ln 2 + 1/2 - 1 + ln 2) / 2
    found = losses.approximate_kl(jnp.log(jnp.array([2.0, 0.5])), jnp.zeros(2))
    np.testing.assert_allclose(found, 0.25, rtol=1e-5)


def test_kl_is_from_the_old_policy():
    # Samples a, a, a, b are exactly those of π_old = (3/4, 1/4); π = (1/4, 3/4).
    old = jnp.log(jnp.array([0.75, 0.75, 0.75, 0.25]))
    new = jnp.log(jnp.array([0.25, 0.25, 0.25, 0.75]))
    expected = 0.75 * np.log(3.0) + 0.25 * np.log(1 / 3)
    np.testing.assert_allclose(losses.approximate_kl(new, old), expected, rtol=1e-5)
    np.testing.assert_array_equal(losses.approximate_kl(old, old), 0.0)
    skewed = jnp.log(jnp.array([0.5, 0.5, 0.5, 0.5]))  # KL(π_old ‖ π) is not KL(π ‖ π_old)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(losses.approximate_kl(skewed, old), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: losses.clipped_surrogate(a, a, b, clip=0.2),
        lambda a, b: losses.value_error(a, b),
        lambda a, b: losses.clipped_value_error(a, a, b, clip=0.2),
    ],
)
def test_shapes_must_agree(call):
    with pytest.raises(AssertionError):
        call(jnp.zeros(4), jnp.zeros(1))
