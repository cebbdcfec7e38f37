"""How many paths there are, each weighed by its reward: partition functions, in log space.

    Z_t(s, a) = exp r(s, a) Σ_s' p(s'|s, a) Z_{t+1}(s'),   Z_t(s) = Σ_a Z_t(s, a)

`log_partition` counts the paths of episodes: of at most T steps, over when they end. Its gradient
is the expected visit counts of P(path) ∝ exp(Σ r) Π p, in which the dynamics are tilted, too,
towards luck; where they are deterministic the path distribution is that of a soft policy.

The functions named after a fixed length are the published algorithm, which counts paths of exactly
N steps that are in an end state at last, whatever they passed before, and follows the resulting
policy without regard of time. It loses episodes longer than N, and its policies enter and leave
the goal as they please.

Reference: ziebart2008maxent
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from evil.tabular.dynamics import log_sum_exp
from evil.tabular.mdp import MDP


def log_partition(mdp: MDP, reward: Array, horizon: int) -> Array:
    """Expected log Z `[]` of the first state, over episodes of at most `horizon` steps."""

    @jax.checkpoint
    def earlier(log_z: Array, _: None) -> tuple[Array, None]:
        return log_sum_exp(log_weights(mdp, reward, log_z)), None

    log_z, _ = jax.lax.scan(earlier, jnp.zeros(mdp.num_states), length=horizon)
    return jnp.sum(jnp.where(mdp.end, 0.0, mdp.start * log_z))


def policy(mdp: MDP, reward: Array, horizon: int) -> Array:
    """How the paths of episodes go on, by time: `[T, S, A]` probabilities Z_t(s, a) / Z_t(s)."""

    def earlier(log_z: Array, _: None) -> tuple[Array, Array]:
        weights = log_weights(mdp, reward, log_z)
        return log_sum_exp(weights), jax.nn.softmax(weights, axis=-1)

    _, policies = jax.lax.scan(earlier, jnp.zeros(mdp.num_states), length=horizon, reverse=True)
    return policies


def log_weights(mdp: MDP, reward: Array, log_z: Array) -> Array:
    """log Z_t(s, a) `[S, A]` from log Z_{t+1}(s) `[S]`; a path ends where its episode does."""
    return reward + mdp.dynamics.log_backward(jnp.where(mdp.end, 0.0, log_z))


def fixed_length(mdp: MDP, reward: Array, length: int) -> tuple[Array, Array]:
    """log Z(s) `[S]` and log Z(s, a) `[S, A]` of paths of exactly `length` steps to an end."""

    def earlier(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        weights = reward + mdp.dynamics.log_backward(carry[0])
        return log_sum_exp(weights), weights

    first = jnp.where(mdp.end, 0.0, -jnp.inf)
    return jax.lax.fori_loop(0, length, earlier, (first, jnp.zeros_like(reward)))


def fixed_length_policy(mdp: MDP, reward: Array, length: int) -> Array:
    """The published policy `[S, A]`: uniform where no path of that length begins."""
    log_z, weights = fixed_length(mdp, reward, length)
    exists = jnp.isfinite(log_z)[:, None]
    return jnp.where(exists, jax.nn.softmax(jnp.where(exists, weights, 0.0)), 1 / mdp.num_actions)


def fixed_length_visits(mdp: MDP, policy: Array, length: int) -> Array:
    """The published visit counts `[S, A]`: of `length` states, in a world without an end."""

    def later(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        mass, visits = carry
        taken = mass[:, None] * policy
        return (mdp.dynamics.forward(taken), visits + taken), None

    begin = (mdp.start, jnp.zeros((mdp.num_states, mdp.num_actions)))
    (_, visits), _ = jax.lax.scan(later, begin, length=length)
    return visits
