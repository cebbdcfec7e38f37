"""What a policy distribution can do, and the affine map between latents and action bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from evil.seams import Key, PyTree, Spec


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of distributions over actions. Every function works on any leading batch axes.

    `outputs` is what the actor network emits: `{"logits"}` or `{"mean", "log_std"}`.
    """

    num_outputs: int  # width of the actor's last layer
    has_log_std: bool  # whether the actor carries a state-independent log standard deviation
    sample: Callable[[PyTree, Key], Array]  # (outputs, key) -> latent
    mode: Callable[[PyTree], Array]  # outputs -> latent
    log_prob: Callable[[PyTree, Array], Array]  # (outputs, latent) -> [...], nats
    entropy: Callable[[PyTree, Key], Array]  # (outputs, key) -> [...], nats
    apply: Callable[[Array], Array]  # latent -> the action that is applied
    invert: Callable[[Array], Array]  # applied action -> a latent that yields it


def centre_and_half_width(spec: Spec) -> tuple[Array, Array]:
    """Midpoint and half width of the action bounds, each `[A]`: latents live in units of these."""
    low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
    return (low + high) / 2, (high - low) / 2
