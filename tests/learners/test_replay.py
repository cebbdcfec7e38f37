"""The ring of past rows, slot by slot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.learners import replay

CAPACITY = 6


def empty(capacity=CAPACITY):
    return replay.init({"x": jax.ShapeDtypeStruct((), jnp.int32)}, capacity)


def filled(*writes):
    ring, write = empty(), jax.jit(replay.write)
    for rows in writes:
        ring = write(ring, {"x": jnp.array(rows, jnp.int32)})
    return ring


def test_an_empty_ring_has_the_form_of_its_rows():
    row = {"a": jax.ShapeDtypeStruct((2, 3), jnp.float32), "b": jnp.zeros((), jnp.int32)}
    ring = replay.init(row, 4)
    assert ring.rows["a"].shape == (4, 2, 3) and ring.rows["a"].dtype == jnp.float32
    assert ring.rows["b"].shape == (4,) and ring.rows["b"].dtype == jnp.int32
    assert ring.count == 0


@pytest.mark.parametrize(
    ("writes", "slots"),
    [
        ([[1, 2]], [1, 2, 0, 0, 0, 0]),
        ([[1, 2], [3, 4]], [1, 2, 3, 4, 0, 0]),
        ([[1, 2], [3, 4], [5, 6]], [1, 2, 3, 4, 5, 6]),
        ([[1, 2], [3, 4], [5, 6], [7, 8]], [7, 8, 3, 4, 5, 6]),  # the oldest go first
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15]], [13, 14, 15, 10, 11, 12]),
        ([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]], [7, 8, 9, 10, 11, 12]),
    ],
)
def test_writes_by_hand(writes, slots):
    ring = filled(*writes)
    np.testing.assert_array_equal(ring.rows["x"], slots)
    total = sum(map(len, writes))
    assert ring.count == min(total, 6)
    assert ring.next_row == total % 6
    assert ring.count.dtype == ring.next_row.dtype == jnp.int32


@pytest.mark.parametrize("size", [4, 5, 7, 12])
def test_a_write_that_would_wrap_is_refused(size):
    with pytest.raises(ValueError, match=f"{size} rows do not divide a capacity of 6"):
        replay.write(empty(), {"x": jnp.zeros(size, jnp.int32)})


@pytest.mark.parametrize(
    ("writes", "present"),
    [
        ([[1, 2]], [1, 2]),
        ([[1, 2], [3, 4]], [1, 2, 3, 4]),
        ([[1, 2], [3, 4], [5, 6], [7, 8]], [3, 4, 5, 6, 7, 8]),
    ],
)
def test_samples_are_uniform_over_what_was_written(writes, present, key):
    num = 6000
    sampled = np.asarray(replay.sample(key, filled(*writes), num)["x"])
    values, counts = np.unique(sampled, return_counts=True)
    assert values.tolist() == present  # all of them, and no slot that is still empty
    expected = num / len(present)
    # χ² of five degrees of freedom at most: beyond 20.5 in one of a thousand experiments.
    assert np.sum((counts - expected) ** 2 / expected) < 20.5


def test_recent_rows_are_drawn_more_often(key):
    # Ages 0 to 5 of six: with recency 1, P(age < a) = √(a / 6).
    num = 6000
    sampled = np.asarray(replay.sample(key, filled([1, 2], [3, 4], [5, 6]), num, recency=1.0)["x"])
    counts = np.bincount(sampled.astype(int), minlength=7)[:0:-1]  # of 6, the newest, down to 1
    expected = num * np.diff(np.sqrt(np.arange(7) / 6))
    assert np.sum((counts - expected) ** 2 / expected) < 20.5


def test_stratified_batches_hold_every_age_in_its_share(key):
    ring = filled([1, 2], [3, 4], [5, 6])
    sampled = np.asarray(replay.sample(key, ring, 12, stratified=True)["x"])
    np.testing.assert_array_equal(np.sort(sampled), np.repeat(np.arange(1, 7), 2))
    assert not np.all(np.diff(sampled) <= 0)  # in no order


def test_rows_stay_whole(key):
    row = {"x": jnp.zeros(()), "y": jnp.zeros((2,))}
    x = jnp.arange(1.0, 5.0)
    ring = replay.write(replay.init(row, 4), {"x": x, "y": jnp.stack([x, -x], 1)})
    sampled = replay.sample(key, ring, 50)
    np.testing.assert_array_equal(sampled["y"][:, 0], sampled["x"])
    np.testing.assert_array_equal(sampled["y"][:, 1], -sampled["x"])
