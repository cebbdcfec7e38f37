"""Diagonal Gaussian whose samples are scaled to the action bounds and clipped there.

The log-probability is that of the unclipped latent.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from evil.distributions.family import Family, bounds
from evil.seams import PyTree, Spec


def make(spec: Spec) -> Family:
    """The family for action vectors of `spec.action_size` components."""
    import distrax

    scale = bounds(spec)

    def build(outputs: PyTree) -> Any:  # of Distrax, whose types are its own
        return distrax.MultivariateNormalDiag(outputs["mean"], jnp.exp(outputs["log_std"]))

    return Family(
        num_outputs=spec.action_size,
        has_log_std=True,
        sample=lambda outputs, key: build(outputs).sample(seed=key),
        mode=lambda outputs: outputs["mean"],
        log_prob=lambda outputs, latent: build(outputs).log_prob(latent),
        entropy=lambda outputs, key: build(outputs).entropy(),
        kl=kl,
        apply=lambda latent: scale.to_action(jnp.clip(latent, -1.0, 1.0)),
        invert=scale.to_latent,
    )


def kl(p: PyTree, q: PyTree) -> Array:
    """KL(p ‖ q) of the latents `[...]`, in nats."""
    ratio = jnp.exp(2.0 * (p["log_std"] - q["log_std"]))
    distance = jnp.square((p["mean"] - q["mean"]) * jnp.exp(-q["log_std"]))
    return (q["log_std"] - p["log_std"] + 0.5 * (ratio + distance - 1.0)).sum(-1)
