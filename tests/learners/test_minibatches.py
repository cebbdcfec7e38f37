"""Passes over a batch: every row once per epoch, in another order each time."""

import jax
import jax.numpy as jnp
import numpy as np

from evil.learners import minibatches


def test_every_epoch_sees_every_row_once(key):
    def update(carry, rows, key):
        seen, calls = carry
        return (seen.at[calls].set(rows["x"]), calls + 1), {"mean": rows["x"].mean()}

    carry = (jnp.zeros((6, 4), jnp.int32), jnp.int32(0))
    (seen, calls), metrics = minibatches.passes(
        key, update, carry, {"x": jnp.arange(12)}, epochs=2, minibatches=3
    )
    assert calls == 6
    first, second = np.asarray(seen).reshape(2, 12)
    assert sorted(first) == sorted(second) == list(range(12))
    assert (first != second).any() and (first != np.arange(12)).any()
    np.testing.assert_allclose(metrics["mean"], 5.5)


def test_every_minibatch_gets_a_key_of_its_own(key):
    def update(carry, rows, key):
        drawn, calls = carry
        return (drawn.at[calls].set(jax.random.uniform(key)), calls + 1), {}

    carry = (jnp.zeros(6), jnp.int32(0))
    (drawn, _), _ = minibatches.passes(key, update, carry, jnp.arange(12), epochs=2, minibatches=3)
    assert len(set(np.asarray(drawn).tolist())) == 6
