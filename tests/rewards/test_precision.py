"""Discriminators in bfloat16: what they compute it in, and what that does to what they learn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil.errors import UserError
from evil.networks.mlp import MLP
from evil.rewards import adversarial, moment_matching
from tests.rewards.blobs import DEMOS, ENV, rows

FLOAT32 = jnp.dtype(jnp.float32)
CONFIGS = {
    "moments": (moment_matching, moment_matching.Config(hidden=(16,), batch_size=64)),
    "adversarial": (adversarial, adversarial.Config(hidden=(16,), batch_size=64)),
}


def fitted(name, precision, updates=30):
    """The state after some updates, its metrics, and its rewards of expert and agent."""
    module, config = CONFIGS[name]
    config = dataclasses.replace(config, precision=precision, learning_rate=1e-2)
    model = module.make(config, ENV)

    def train(key):
        def one(state, key):
            key, key_agent, key_expert = jax.random.split(key, 3)
            return model.update(key, state, rows(key_agent, 64, 0.0), rows(key_expert, 64))

        state, metrics = jax.lax.scan(one, model.init(key, DEMOS), jax.random.split(key, updates))
        paid = [
            model.score.apply(model.params(state), (), rows(key, 50, centre))[0]
            for centre in (0.0, 1.0)
        ]
        return state, metrics, jnp.stack(paid)

    return model, *jax.jit(train)(jax.random.key(0))


@pytest.mark.parametrize("name", CONFIGS)
def test_it_learns_the_same_with_three_digits(name):
    _, _, metrics, whole = fitted(name, "float32")
    model, state, rounded, paid = fitted(name, "bfloat16")
    # The same distinction, from the same numbers, rounded to eight bits at every layer.
    spread = whole[1].mean() - whole[0].mean()
    assert spread > 0
    assert jnp.abs(paid - whole).mean() < 0.1 * spread
    assert not np.array_equal(paid, whole)
    assert all(np.isfinite(rounded[key]).all() for key in metrics)
    # What is kept, and what leaves it, is float32.
    kept = jax.tree.leaves((state, model.params(state)))
    assert {x.dtype for x in kept if jnp.issubdtype(x.dtype, jnp.floating)} == {FLOAT32}
    assert paid.dtype == FLOAT32


def products(precision):
    module = MLP((8,), 1, precision=precision)
    params = module.init(jax.random.key(0), jnp.ones((2, 3)))
    jaxpr = jax.make_jaxpr(module.apply)(params, jnp.ones((2, 3)))
    return {e.outvars[0].aval.dtype for e in jaxpr.eqns if e.primitive.name == "dot_general"}


def test_its_products_are_of_the_type_asked_for():
    assert products("bfloat16") == {jnp.dtype(jnp.bfloat16)}
    assert products("float32") == {FLOAT32}


@pytest.mark.parametrize("name", CONFIGS)
def test_another_precision_is_refused(name):
    module, config = CONFIGS[name]
    with pytest.raises(UserError, match="unknown precision"):
        module.make(dataclasses.replace(config, precision="float16"), ENV)
