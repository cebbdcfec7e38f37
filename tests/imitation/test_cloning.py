"""Losses that compare distributions, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import distributions
from evil.errors import UserError
from evil.imitation import bc, cloning
from evil.networks import actor_critic
from evil.seams import Spec

CHOICES = Spec(name="choices", obs_shape=(1,), time_limit=5, num_actions=2)
VECTORS = Spec(
    name="vectors", obs_shape=(1,), time_limit=5, action_size=2,
    action_low=(-1.0, -1.0), action_high=(1.0, 1.0),
)  # fmt: skip


def biased(spec, bias):
    """A linear network whose outputs are `bias` whatever it sees."""
    config = actor_critic.Config(hidden=(), normalise_observations=False)
    module = actor_critic.make(config, spec)
    network = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 1)))
    layer = {"kernel": jnp.zeros((1, 2)), "bias": jnp.log(jnp.array(bias))}
    params = network["params"] | {"actor_network": {"output": layer}}
    return config, module, {"params": params}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("kl", 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)),
        ("cross_entropy", -0.5 * np.log(0.25) - 0.5 * np.log(0.75)),
    ],
)
def test_losses_of_choices(loss, expected):
    config, module, network = biased(CHOICES, [0.25, 0.75])
    objective = bc.Config(network=config, loss=loss)
    label = {"logits": jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))}
    found = cloning.losses(network, module, CHOICES, objective, None, jnp.ones((2, 1)), label)
    entropy = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    np.testing.assert_allclose(found, [expected, 0.0 if loss == "kl" else entropy], atol=1e-6)


@pytest.mark.parametrize("name", ["gaussian", "tanh_gaussian"])
def test_divergence_of_gaussians(name):
    family = distributions.make(name, VECTORS)
    p = {"mean": jnp.array([[1.0, 0.0]]), "log_std": jnp.log(jnp.array([[1.0, 2.0]]))}
    q = {"mean": jnp.array([[3.0, 0.0]]), "log_std": jnp.log(jnp.array([[2.0, 2.0]]))}
    # log(2/1) + (1 + (1 - 3)²)/(2·4) - 1/2 = log 2 + 1/8 for the first component, 0 for the second
    np.testing.assert_allclose(family.kl(p, q), [np.log(2.0) + 0.125], rtol=1e-6)
    np.testing.assert_allclose(family.kl(p, p), [0.0], atol=1e-7)
    # log(1/2) + (4 + 4)/2 - 1/2 the other way round
    np.testing.assert_allclose(family.kl(q, p), [3.5 - np.log(2.0)], rtol=1e-6)


def test_losses_that_do_not_fit_are_refused():
    known = (*cloning.OF_ACTIONS, *cloning.OF_DISTRIBUTIONS)
    for loss, spec, word in (
        ("cross_entropy", VECTORS, "discrete"),
        ("mse", CHOICES, "vectors"),
        ("kll", CHOICES, "did you mean kl"),
    ):
        with pytest.raises(UserError, match=word):
            cloning.check(bc.Config(loss=loss), spec, known)
