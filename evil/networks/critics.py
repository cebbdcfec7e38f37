"""Critics of actions: several independent estimates of Q(s, a), of which the least is believed."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from evil.networks.mlp import MLP, flatten
from evil.seams import Spec


class Critics(nn.Module):
    """`number` perceptrons: of observation and action, or with an output for every choice.

    They are separate matrices, not one stack: a product of stacks is slow on CPUs. Critics that
    know the absorbing state have one more input, by which to tell it from all others.
    """

    spec: Spec
    hidden: tuple[int, ...]
    activation: str
    number: int = 2
    absorbing: bool = False

    def setup(self) -> None:
        outputs = self.spec.num_actions or 1
        self.critic = [MLP(self.hidden, outputs, self.activation) for _ in range(self.number)]

    def __call__(self, obs: Array, action: Array, is_absorbing: Array | None = None) -> Array:
        """Q `[number, ...]` of observations as the networks see them.

        `action` is an index, or a vector in units of half the action range. Where `is_absorbing`
        `[...]`, observation and action should be the absorbing state's: zeros.
        """
        if self.spec.is_discrete:
            every = self.choices(obs, is_absorbing)
            return jnp.take_along_axis(every, action[None, ..., None], -1)[..., 0]
        inputs = jnp.concatenate([self._seen(obs, is_absorbing), action], axis=-1)
        return jnp.stack([critic(inputs)[..., 0] for critic in self.critic])

    def choices(self, obs: Array, is_absorbing: Array | None = None) -> Array:
        """Q `[number, ..., num_actions]` of every discrete action."""
        inputs = self._seen(obs, is_absorbing)
        return jnp.stack([critic(inputs) for critic in self.critic])

    def _seen(self, obs: Array, is_absorbing: Array | None) -> Array:
        inputs = flatten(obs, self.spec.obs_shape)
        if not self.absorbing:
            return inputs
        bit = jnp.zeros(inputs.shape[:-1]) if is_absorbing is None else is_absorbing
        return jnp.concatenate([inputs, bit[..., None].astype(inputs.dtype)], axis=-1)
