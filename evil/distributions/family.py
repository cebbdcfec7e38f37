"""What a policy distribution can do, and the affine map between latents and action bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from evil.pytrees import align
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
    kl: Callable[[PyTree, PyTree], Array]  # (outputs p, outputs q) -> KL(p ‖ q) [...], nats
    apply: Callable[[Array], Array]  # latent -> the action that is applied
    invert: Callable[[Array], Array]  # applied action -> a latent that yields it

    def log_prob_of_action(self, outputs: PyTree, action: Array) -> Array:
        """Log-density `[...]`, in nats, of the latent that yields an action as applied."""
        return self.log_prob(outputs, self.invert(action))


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The affine map between latent units, in which actions span [-1, 1], and action units."""

    centre: Array  # [A]
    half_width: Array  # [A]

    def to_action(self, x: Array) -> Array:
        """From latent units `[..., A]` to action units."""
        return align(self.centre, x.ndim) + align(self.half_width, x.ndim) * x

    def to_latent(self, action: Array) -> Array:
        """From action units `[..., A]` to latent units."""
        return (action - align(self.centre, action.ndim)) / align(self.half_width, action.ndim)


def bounds(spec: Spec) -> Bounds:
    """The map for an environment's action bounds."""
    low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
    return Bounds(centre=(low + high) / 2, half_width=(high - low) / 2)
