"""A world of two observations and one action, an expert around (1, 1), and others elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np

from evil.demonstrations.demonstrations import from_episodes
from evil.seams import Environment, Spec, Transition

SPEC = Spec(
    name="still",
    obs_shape=(2,),
    time_limit=10,
    action_size=1,
    action_low=(-2.0,),
    action_high=(2.0,),
)
ENV = Environment(spec=SPEC, params=(), reset=None, step=None)


def expert_action(obs):
    """What the expert does: a straight line."""
    return jnp.clip(obs[..., :1] - 1.0, -2.0, 2.0)


def rows(key, count, centre=1.0):
    """`count` steps around `centre`, with the expert's actions."""
    key_obs, key_next = jax.random.split(key)
    obs = centre + 0.3 * jax.random.normal(key_obs, (count, 2))
    zeros = jnp.zeros(count)
    return Transition(
        obs=obs,
        action=expert_action(obs),
        next_obs=centre + 0.3 * jax.random.normal(key_next, (count, 2)),
        reward=zeros,
        terminated=zeros > 0,
        truncated=zeros > 0,
        log_prob=zeros,
    )


def demonstrations(length=200):
    """One long episode of the expert's."""
    obs = 1.0 + 0.3 * np.random.default_rng(0).normal(size=(length + 1, 2)).astype(np.float32)
    return from_episodes([{"obs": obs, "action": np.asarray(expert_action(obs[:-1]))}])


DEMOS = demonstrations()
