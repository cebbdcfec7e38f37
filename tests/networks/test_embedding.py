"""Embedded observations: a dense layer on one-hot codes, without the codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evil import environments, normalise
from evil.errors import UserError
from evil.learners import policies
from evil.networks import actor_critic
from evil.networks.embedding import Embedding, number


def test_rows_are_numbered_component_by_component():
    obs = jnp.array([[0.0, 0.0], [0.0, 2.0], [1.0, 0.0], [3.0, 2.0]])
    np.testing.assert_array_equal(number(obs, (4, 3)), [0, 2, 3, 11])
    np.testing.assert_array_equal(number(jnp.array([[-1.0, 9.0]]), (4, 3)), [2])


def test_a_row_is_the_product_with_its_one_hot_code(key):
    module, obs = Embedding((4, 3), 5), jnp.array([[[2.0, 1.0]], [[0.0, 2.0]]])
    params = module.init(key, obs)
    one_hot = jax.nn.one_hot(number(obs, (4, 3)), 12)
    np.testing.assert_allclose(
        module.apply(params, obs), one_hot @ params["params"]["table"], rtol=1e-6
    )


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_an_embedding_policy_knows_its_cells_and_ignores_moments(key, hidden):
    env = environments.make("gridworld50")
    config = actor_critic.Config(hidden=hidden, embed=True)
    module = actor_critic.make(config, env.spec)
    params = module.init(key, jnp.zeros((1, 2)))
    tables = [x for x in jax.tree.leaves(params) if x.ndim == 2 and x.shape[0] == 2500]
    assert len(tables) == 2  # the actor's and the critic's
    moments = normalise.Moments(count=jnp.ones(()), mean=jnp.ones(2), variance=jnp.full(2, 9.0))
    obs = jnp.array([[3.0, 4.0]])
    np.testing.assert_array_equal(policies.observe(config, moments, obs), obs)


def test_what_is_no_whole_number_is_not_embedded():
    with pytest.raises(UserError, match="whole-number observations"):
        actor_critic.make(actor_critic.Config(embed=True), environments.make("gridworld").spec)
