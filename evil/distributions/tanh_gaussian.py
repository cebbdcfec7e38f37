"""Diagonal Gaussian squashed by tanh into the action bounds.

    a = c + w tanh(u),  u ~ N(μ, σ²)
    log π(a) = log N(u; μ, σ²) - Σ log(1 - tanh²u)        (density over tanh u)

Reference: haarnoja2018sac (appendix C)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from evil.distributions import gaussian
from evil.distributions.family import Family, bounds
from evil.seams import Key, PyTree, Spec

BOUNDARY = 1.0 - 1e-6  # |tanh u| beyond which an applied action cannot be inverted in float32


def make(spec: Spec) -> Family:
    """The family for action vectors of `spec.action_size` components."""
    import distrax

    scale = bounds(spec)

    def build(outputs: PyTree) -> Any:  # of Distrax, whose types are its own
        return distrax.MultivariateNormalDiag(outputs["mean"], jnp.exp(outputs["log_std"]))

    def log_prob(outputs: PyTree, latent: Array) -> Array:
        return build(outputs).log_prob(latent) - log_squash_slope(latent).sum(-1)

    def entropy(outputs: PyTree, key: Key) -> Array:
        # No closed form: an unbiased estimate from one sample.
        return -log_prob(outputs, build(outputs).sample(seed=key))

    def invert(action: Array) -> Array:
        return jnp.arctanh(jnp.clip(scale.to_latent(action), -BOUNDARY, BOUNDARY))

    return Family(
        num_outputs=spec.action_size,
        has_log_std=True,
        sample=lambda outputs, key: build(outputs).sample(seed=key),
        mode=lambda outputs: outputs["mean"],
        log_prob=log_prob,
        entropy=entropy,
        kl=gaussian.kl,  # both are squashed alike, which leaves it as it is
        apply=lambda latent: scale.to_action(jnp.tanh(latent)),
        invert=invert,
    )


def log_squash_slope(latent: Array) -> Array:
    """log(1 - tanh²u), in the form that neither overflows nor cancels."""
    return 2.0 * (jnp.log(2.0) - latent - jax.nn.softplus(-2.0 * latent))
