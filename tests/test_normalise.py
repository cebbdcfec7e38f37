"""Running moments against numpy on everything seen so far."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import normalise


def moments(count, mean, variance):
    return normalise.Moments(
        count=jnp.float32(count), mean=jnp.asarray(mean), variance=jnp.asarray(variance)
    )


def test_before_the_first_sample_nothing_changes():
    x = jnp.array([[-3.0, 0.0, 2.0]])
    np.testing.assert_allclose(normalise.normalise(normalise.init((3,)), x), x, rtol=1e-6)
    np.testing.assert_allclose(normalise.scale(normalise.init((3,)), x), x, rtol=1e-6)


def test_two_batches_by_hand():
    # 1, 3 have mean 2 and variance 1; with 5 they are 1, 3, 5: mean 3, variance 8/3
    state = normalise.update(normalise.init(()), jnp.array([1.0, 3.0]))
    np.testing.assert_array_equal([state.count, state.mean, state.variance], [2.0, 2.0, 1.0])
    state = normalise.update(state, jnp.array([5.0]))
    np.testing.assert_allclose([state.count, state.mean, state.variance], [3.0, 3.0, 8 / 3])


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
@pytest.mark.parametrize("leading", [(5,), (4, 2)])
def test_merges_equal_the_moments_of_everything(shape, leading):
    rng = np.random.default_rng(0)
    batches = [
        rng.normal(loc, scale, (*leading, *shape)).astype(np.float32)
        for loc, scale in ((3.0, 1.0), (-2.0, 0.1), (0.0, 5.0))
    ]
    state, update = normalise.init(shape), jax.jit(normalise.update)
    for index, batch in enumerate(batches):
        state = update(state, batch)
        seen = np.concatenate([b.reshape(-1, *shape) for b in batches[: index + 1]])
        assert state.count == len(seen)
        np.testing.assert_allclose(state.mean, seen.mean(0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state.variance, seen.var(0), rtol=1e-5, atol=1e-5)


def test_a_large_offset_does_not_cancel():
    rng = np.random.default_rng(0)
    state = normalise.init(())
    for _ in range(20):
        state = normalise.update(state, jnp.asarray(rng.normal(1e4, 1.0, 500), jnp.float32))
    np.testing.assert_allclose(state.variance, 1.0, rtol=0.05)


def test_normalise_centres_scales_and_clips():
    # (x - 1) / 2
    state = moments(9, [1.0, 1.0, 1.0], [4.0, 4.0, 4.0])
    x = jnp.array([[3.0, 1.0, -5.0], [1e6, -1e6, 21.0]])
    found = normalise.normalise(state, x)
    np.testing.assert_allclose(found, [[1.0, 0.0, -3.0], [10.0, -10.0, 10.0]], rtol=1e-6)
    found = normalise.normalise(state, x, clip=2.0)
    np.testing.assert_allclose(found, [[1.0, 0.0, -2.0], [2.0, -2.0, 2.0]], rtol=1e-6)


def test_scale_divides_only():
    state = moments(9, 100.0, 4.0)
    found = normalise.scale(state, jnp.array([[-6.0, 0.0], [2.0, 1e4]]))
    np.testing.assert_allclose(found, [[-3.0, 0.0], [1.0, 5e3]], rtol=1e-6)


def test_a_constant_stays_finite():
    state = normalise.update(normalise.init((1,)), jnp.full((4, 1), 7.0))
    np.testing.assert_array_equal(normalise.normalise(state, jnp.full((1, 1), 7.0)), [[0.0]])
    assert jnp.isfinite(normalise.scale(state, jnp.full((1, 1), 7.0))).all()
