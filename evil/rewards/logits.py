"""Discriminators that classify: losses of their logits, and the rewards made of them.

z > 0 says expert, with probability D = σ(z); an optimal one is z = log ρ_expert - log ρ_agent.

    rewards of z                            where it points
    gail           -log(1 - D)              always ≥ 0: living on pays
    airl           log D - log(1 - D) = z   either sign
    fairl          -z e^z                   as published for the forward KL; z is cut at 20
    ratio          e^z                      what the forward KL asks for; z is cut at 20
    dail           σ(z) (1 + tanh z) / 2    found by search; between 0 and 1
    least_squares  max(0, 1 - (z - 1)²/4)   for logits fitted to ±1

All are computed from z itself, and finite with finite slopes wherever z is.

Of a divergence D_f = E_agent f(u), u = ρ_expert/ρ_agent = e^z, a policy descends along the first
variation f(u) - u f'(u), because u is made of the agent, too. That is a constant less z for the
reverse KL, f = -log u, and -e^z for the forward KL, f = u log u. The published reward -z e^z leaves
the second term out: it falls with z from z = -1 on, and so drives a policy away from where the
expert is more than 1/e times as frequent as itself.

Reference: ho2016gail, fu2018airl, ghasemipour2020divergence, chirra2025discovering, peng2021amp
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

LARGEST = 20.0  # of the logits that are exponentiated


def gail(logits: Array) -> Array:
    """-log(1 - D)."""
    return jax.nn.softplus(logits)


def airl(logits: Array) -> Array:
    """log D - log(1 - D), which is the logit."""
    return logits


def fairl(logits: Array) -> Array:
    """-z e^z, which has its maximum of 1/e at z = -1."""
    logits = jnp.minimum(logits, LARGEST)
    return -logits * jnp.exp(logits)


def ratio(logits: Array) -> Array:
    """e^z, how many times as frequent the expert is."""
    return jnp.exp(jnp.minimum(logits, LARGEST))


def dail(logits: Array) -> Array:
    """σ(z) (1 + tanh z) / 2."""
    return jax.nn.sigmoid(logits) * 0.5 * (1.0 + jnp.tanh(logits))


def least_squares(logits: Array) -> Array:
    """max(0, 1 - (z - 1)² / 4)."""
    return jnp.maximum(1.0 - 0.25 * jnp.square(logits - 1.0), 0.0)


REWARDS: dict[str, Callable[[Array], Array]] = {
    "gail": gail,
    "airl": airl,
    "fairl": fairl,
    "ratio": ratio,
    "dail": dail,
    "least_squares": least_squares,
}


def cross_entropy(logits: Array, target: Array | float) -> Array:
    """-t log D - (1 - t) log(1 - D), element by element."""
    return jax.nn.softplus(logits) - target * logits


def entropy(logits: Array) -> Array:
    """Of a coin that shows expert with probability D, in nats."""
    return jax.nn.softplus(logits) - logits * jax.nn.sigmoid(logits)


def binary_loss(expert: Array, agent: Array) -> Array:
    """Cross-entropies with labels 1 and 0, added up."""
    return cross_entropy(expert, 1.0).mean() + cross_entropy(agent, 0.0).mean()


def unlabelled_loss(
    expert: Array, agent: Array, *, prior: Array | float, margin: Array | float
) -> Array:
    """The agent's steps as unlabelled ones, of which a share `prior` is like the expert's.

        η E_E ℓ(z, 1) + max(-β, E_A ℓ(z, 0) - η E_E ℓ(z, 0))

    The second term estimates a loss of what is not like the expert's; it may not fall below -β.

    Reference: xu2021positive
    """
    positive = cross_entropy(expert, 1.0).mean()
    negative = cross_entropy(agent, 0.0).mean() - prior * cross_entropy(expert, 0.0).mean()
    return prior * positive + jnp.maximum(negative, -margin)


def mixed_loss(mixed: Array, weight: Array) -> Array:
    """Cross-entropy of points a share `weight [N]` of the way from agent to expert."""
    return cross_entropy(mixed, weight).mean()


def squared_loss(expert: Array, agent: Array) -> Array:
    """Squared distances from labels 1 and -1."""
    return jnp.square(expert - 1.0).mean() + jnp.square(agent + 1.0).mean()


def moment_loss(expert: Array, agent: Array) -> Array:
    """The negative difference of means; bounded only by a penalty on slopes or spectral weights."""
    return agent.mean() - expert.mean()


LOSSES = ("binary", "mixup", "unlabelled", "least_squares", "moment_matching")


def loss(
    name: str, expert: Array, agent: Array, *, prior: Array | float, margin: Array | float
) -> Array:
    """The loss called `name` of logits `[N]` each; mixup has points of its own."""
    if name == "unlabelled":
        return unlabelled_loss(expert, agent, prior=prior, margin=margin)
    return {
        "binary": binary_loss,
        "least_squares": squared_loss,
        "moment_matching": moment_loss,
    }[name](expert, agent)
