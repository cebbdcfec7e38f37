"""Running mean and variance of everything seen so far.

Batches are merged by the parallel form of Welford's update.

Reference: chan1979variance
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from evil.pytrees import align, pytree

EPSILON = 1e-8


@pytree
class Moments:
    """Moments of `count` samples of one shape; before the first, those of a standard normal."""

    count: Array  # [] float32
    mean: Array
    variance: Array


def init(shape: tuple[int, ...]) -> Moments:
    """No samples yet."""
    return Moments(count=jnp.zeros(()), mean=jnp.zeros(shape), variance=jnp.ones(shape))


def update(moments: Moments, batch: Array) -> Moments:
    """Merge samples `[..., *shape]`."""
    axes = tuple(range(batch.ndim - moments.mean.ndim))
    size = jnp.asarray(batch.size // max(moments.mean.size, 1), jnp.float32)
    total = moments.count + size
    delta = batch.mean(axes) - moments.mean
    squares = moments.count * moments.variance + size * batch.var(axes)
    squares = squares + jnp.square(delta) * moments.count * size / total
    return Moments(
        count=total,
        mean=moments.mean + delta * size / total,
        variance=squares / total,
    )


def of_rows(x: Array, count: Array) -> Moments:
    """Moments of the first `count` rows of `x [N, ...]`.

    The variance is the population's and is not floored: a constant feature has exactly zero.
    """
    valid = (jnp.arange(x.shape[0]) < count).reshape((-1,) + (1,) * (x.ndim - 1))
    mean = jnp.sum(jnp.where(valid, x, 0.0), axis=0) / count
    squares = jnp.sum(jnp.where(valid, (x - mean[None]) ** 2, 0.0), axis=0)
    return Moments(count=count.astype(jnp.float32), mean=mean, variance=squares / count)


def deviation(moments: Moments) -> Array:
    """The standard deviation by which samples are divided."""
    return jnp.sqrt(moments.variance + EPSILON)


def normalise(moments: Moments, x: Array, *, clip: float = 10.0) -> Array:
    """Centre and scale to unit variance, clipped to `±clip` standard deviations."""
    mean, std = align(moments.mean, x.ndim), align(deviation(moments), x.ndim)
    return jnp.clip((x - mean) / std, -clip, clip)


def scale(moments: Moments, x: Array) -> Array:
    """Divide by the standard deviation alone, which keeps signs and the size of zero."""
    return x / align(deviation(moments), x.ndim)
