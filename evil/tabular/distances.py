"""How far a reward is from the true one, exactly: expectations over all transitions of a world.

    C(r)(s, a, s') = r(s, a) + γ r̄(s') - r̄(s) - γ E r̄(S),    r̄(s) = E_A r(s, A)
    D(r₁, r₂)      = sqrt((1 - corr(r₁, r₂)) / 2)                              ∈ [0, 1]

`pearson` is D of the rewards as they are, `epic` of their canonical forms. Actions are uniform;
states are those of a coverage, by default all that are no end, alike; S' and S are independent, and
after an end nothing is paid. A reward of states and actions says nothing of successors: shaping is
taken out as far as it depends on the state left, and not where the dynamics are hidden in it.

Reference: gleave2021epic
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from evil.tabular.mdp import MDP


def everywhere(mdp: MDP) -> Array:
    """The coverage `[S]` that is uniform over states that are no end."""
    inside = (~mdp.end).astype(jnp.float32)
    return inside / inside.sum()


def pearson(mdp: MDP, first: Array, second: Array, coverage: Array | None = None) -> Array:
    """Distance `[]` of two rewards `[S, A]` under a coverage `[S]`."""
    weight = _weight(mdp, coverage)

    def covariance(x: Array, y: Array) -> Array:
        return jnp.sum(weight * (x - jnp.sum(weight * x)) * (y - jnp.sum(weight * y)))

    return _distance(
        covariance(first, second), covariance(first, first), covariance(second, second)
    )


def epic(
    mdp: MDP,
    first: Array,
    second: Array,
    *,
    discount: Array | float = 0.99,
    coverage: Array | None = None,
) -> Array:
    """Distance `[]` of the canonical forms of two rewards `[S, A]`."""
    weight = _weight(mdp, coverage)

    def form(reward: Array) -> tuple[Array, Array]:
        """What depends on (s, a) `[S, A]` and on s' `[S]`; constants do not correlate."""
        mean = jnp.where(mdp.end, 0.0, reward.mean(axis=-1))
        return reward - mean[:, None], discount * mean

    def centred(reward: Array) -> tuple[Array, Array]:
        now, then = form(reward)
        return now - jnp.sum(weight * (now + mdp.dynamics.backward(then))), then

    def covariance(x: tuple[Array, Array], y: tuple[Array, Array]) -> Array:
        """E (x₁ + x₂(s'))(y₁ + y₂(s')): the successor's part is an expectation of products."""
        expect = mdp.dynamics.backward
        products = x[0] * y[0] + x[0] * expect(y[1]) + y[0] * expect(x[1]) + expect(x[1] * y[1])
        return jnp.sum(weight * products)

    one, other = centred(first), centred(second)
    return _distance(covariance(one, other), covariance(one, one), covariance(other, other))


def _weight(mdp: MDP, coverage: Array | None) -> Array:
    coverage = everywhere(mdp) if coverage is None else coverage
    return jnp.repeat(coverage[:, None] / mdp.num_actions, mdp.num_actions, axis=1)


def _distance(covariance: Array, first: Array, second: Array) -> Array:
    """A constant correlates with nothing."""
    scale = jnp.sqrt(jnp.maximum(first, 0.0) * jnp.maximum(second, 0.0))
    correlation = jnp.where(scale > 1e-12, covariance / jnp.maximum(scale, 1e-12), 0.0)
    return jnp.sqrt(jnp.clip((1.0 - correlation) / 2.0, 0.0, 1.0))
