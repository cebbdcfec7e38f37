"""Rows that are kept whole: what goes in is what is there, in order, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np

from evil.imitation import aggregate

append = jax.jit(aggregate.append)


def rows(first, count):
    number = jnp.arange(first, first + count, dtype=jnp.float32)
    return {"obs": jnp.stack([number, -number], 1), "label": number.astype(jnp.int32)}


def empty(capacity):
    like = jax.tree.map(lambda x: x[0], rows(0, 1))
    return aggregate.init(like, capacity)


def test_rows_arrive_in_order_without_those_that_do_not_count():
    whole = append(empty(7), rows(1, 3), jnp.array([True, False, True]))
    assert int(whole.count) == 2
    whole = append(whole, rows(4, 3), jnp.array([True, True, True]))
    assert int(whole.count) == 5
    np.testing.assert_array_equal(whole.rows["label"], [1, 3, 4, 5, 6, 0, 0])
    np.testing.assert_array_equal(whole.rows["obs"][:, 1], [-1, -3, -4, -5, -6, 0, 0])


def test_what_finds_no_room_is_dropped_and_nothing_is_overwritten():
    whole = append(empty(4), rows(1, 3), jnp.ones(3, bool))
    whole = append(whole, rows(4, 3), jnp.ones(3, bool))
    np.testing.assert_array_equal(whole.rows["label"], [1, 2, 3, 4])
    whole = append(whole, rows(9, 3), jnp.ones(3, bool))
    np.testing.assert_array_equal(whole.rows["label"], [1, 2, 3, 4])
    assert int(whole.count) == 4 and whole.count.dtype == jnp.int32


def test_samples_are_of_the_rows_that_are_there(key):
    whole = append(empty(100), rows(1, 3), jnp.ones(3, bool))
    drawn = np.asarray(aggregate.sample(key, whole, 300)["label"])
    assert set(drawn) == {1, 2, 3}
    assert np.bincount(drawn)[1:].min() > 70
