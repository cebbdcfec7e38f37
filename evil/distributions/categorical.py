"""Categorical distribution over action indices; the latent is the action."""

from __future__ import annotations

from typing import Any

from jax import Array

from evil.distributions.family import Family
from evil.seams import PyTree, Spec


def make(spec: Spec) -> Family:
    """The family for `spec.num_actions` discrete actions."""
    import distrax

    assert spec.num_actions is not None

    def build(outputs: PyTree) -> Any:  # of Distrax, whose types are its own
        return distrax.Categorical(logits=outputs["logits"])

    def identity(action: Array) -> Array:
        return action

    return Family(
        num_outputs=spec.num_actions,
        has_log_std=False,
        sample=lambda outputs, key: build(outputs).sample(seed=key),
        mode=lambda outputs: build(outputs).mode(),
        log_prob=lambda outputs, latent: build(outputs).log_prob(latent),
        entropy=lambda outputs, key: build(outputs).entropy(),
        kl=lambda p, q: build(p).kl_divergence(build(q)),
        apply=identity,
        invert=identity,
    )
