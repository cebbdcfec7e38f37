"""Critics of actions: several independent estimates of Q(s, a), of which the least is believed."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from evil.networks.mlp import MLP, flatten
from evil.seams import Spec


class Critics(nn.Module):
    """`number` perceptrons: of observation and action, or with an output for every choice.

    They are separate matrices, not one stack: a product of stacks is slow on CPUs.
    """

    spec: Spec
    hidden: tuple[int, ...]
    activation: str
    number: int = 2

    def setup(self) -> None:
        outputs = self.spec.num_actions or 1
        self.critic = [MLP(self.hidden, outputs, self.activation) for _ in range(self.number)]

    def __call__(self, obs: Array, action: Array) -> Array:
        """Q `[number, ...]` of observations as the networks see them.

        `action` is an index, or a vector in units of half the action range.
        """
        if self.spec.is_discrete:
            return jnp.take_along_axis(self.choices(obs), action[None, ..., None], -1)[..., 0]
        inputs = jnp.concatenate([flatten(obs, self.spec.obs_shape), action], axis=-1)
        return jnp.stack([critic(inputs)[..., 0] for critic in self.critic])

    def choices(self, obs: Array) -> Array:
        """Q `[number, ..., num_actions]` of every discrete action."""
        inputs = flatten(obs, self.spec.obs_shape)
        return jnp.stack([critic(inputs) for critic in self.critic])
