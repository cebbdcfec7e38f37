"""Where a policy goes and what that is worth, exactly: sums over states instead of samples.

    μ(s, a) = Σ_t γ^t P(s_t = s, a_t = a),     return = ⟨μ, r⟩

A policy is `[T, S, A]`, or `[S, A]` where it does not depend on time.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from evil.pytrees import pytree
from evil.tabular.mdp import MDP

MAX_SWEEPS = 100_000


@pytree
class Prospects:
    """What to expect of one episode."""

    value: Array  # [] sum of true rewards
    length: Array  # [] steps
    arrival: Array  # [] probability of ending in an end state, within the horizon


def uniform(mdp: MDP) -> Array:
    """The policy `[S, A]` of random actions."""
    return jnp.full((mdp.num_states, mdp.num_actions), 1.0 / mdp.num_actions)


def occupancy(
    mdp: MDP,
    policy: Array,
    horizon: int,
    *,
    discount: Array | float = 1.0,
    ends: bool = True,
) -> Array:
    """Discounted visits `[S, A]` within `horizon` steps.

    What is in an end state is gone, and was not visited, unless nothing `ends`.
    """
    visits, _ = _follow(mdp, policy, horizon, discount, ends)
    return visits


def stationary_occupancy(
    mdp: MDP,
    policy: Array,
    *,
    discount: Array | float,
    ends: bool = True,
    tolerance: float = 1e-6,
) -> Array:
    """Discounted visits `[S, A]` of a policy `[S, A]` over an infinite horizon.

    Follows the mass, step by step, until less than `tolerance` of all visits is to come.
    """

    def later(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        mass, visits, count = carry
        taken = mass[:, None] * policy
        following = discount * _left(mdp, mdp.dynamics.forward(taken), ends)
        return following, visits + taken, count + 1

    def going(carry: tuple[Array, Array, Array]) -> Array:
        mass, _, count = carry
        return (jnp.sum(mass) > tolerance) & (count < MAX_SWEEPS)

    mass = _left(mdp, mdp.start, ends)
    begin = (mass, jnp.zeros((mdp.num_states, mdp.num_actions)), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(going, later, begin)[1]


def prospects(mdp: MDP, policy: Array, horizon: int) -> Prospects:
    """Expected return, length and success of full episodes under the true reward."""
    visits, left = _follow(mdp, policy, horizon, 1.0, ends=True)
    return Prospects(
        value=jnp.sum(visits * mdp.reward),
        length=jnp.sum(visits),
        arrival=1.0 - jnp.sum(left),
    )


def policy_values(
    mdp: MDP, reward: Array, policy: Array, horizon: int, *, discount: Array | float = 1.0
) -> Array:
    """Expected discounted return `[S]` from every first state; 0 from end states."""

    def earlier(values: Array, index: Array) -> tuple[Array, None]:
        chosen = policy[index] if policy.ndim == 3 else policy
        ahead = reward + discount * mdp.dynamics.backward(values)
        return jnp.where(mdp.end, 0.0, jnp.sum(chosen * ahead, axis=-1)), None

    values = jnp.zeros(mdp.num_states)
    values, _ = jax.lax.scan(earlier, values, jnp.arange(horizon), reverse=True)
    return values


def _follow(
    mdp: MDP,
    policy: Array,
    horizon: int,
    discount: Array | float,
    ends: bool,
) -> tuple[Array, Array]:
    """Visits `[S, A]`, and the mass `[S]` that has not ended after the last step."""

    def later(carry: tuple[Array, Array, Array], index: Array) -> tuple[tuple, None]:
        mass, visits, weight = carry
        chosen = policy[index] if policy.ndim == 3 else policy
        taken = mass[:, None] * chosen
        visits = visits + weight * taken
        return (_left(mdp, mdp.dynamics.forward(taken), ends), visits, weight * discount), None

    mass = _left(mdp, mdp.start, ends)
    begin = (mass, jnp.zeros((mdp.num_states, mdp.num_actions)), jnp.ones(()))
    (mass, visits, _), _ = jax.lax.scan(later, begin, jnp.arange(horizon))
    return visits, mass


def _left(mdp: MDP, mass: Array, ends: bool) -> Array:
    """The mass `[S]` that has not ended."""
    return jnp.where(mdp.end, 0.0, mass) if ends else mass
