"""A policy that begins as a clone: its actor is fitted to demonstrations before it plays.

    min_θ  -E log π_θ(a | s),    with fresh optimisers afterwards

Observations are standardised by the demonstrations' moments, from which the learner's go on.

Reference: pomerleau1991bc, arulkumaran2023pragmatic
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jax import Array

from evil.demonstrations.demonstrations import Demonstrations, actions_for, moments_of, sample
from evil.errors import UserError, at_least
from evil.imitation import cloning
from evil.seams import Key, Policy, PyTree


@dataclasses.dataclass(frozen=True)
class Config:
    """Cloning before the game."""

    updates: int = 0
    """Gradient updates; 0: the policy begins at random."""
    batch_size: int = 256
    """Steps of the demonstrations in one update, drawn with replacement."""
    learning_rate: float = 2.5e-4
    """AdamW's step size."""
    weight_decay: float = 0.0
    """AdamW's decay of the actor's weight matrices per unit of step size."""


def check(config: Config) -> None:
    """UserError for sizes that cannot be."""
    at_least(0, updates=config.updates, weight_decay=config.weight_decay)
    at_least(1, batch_size=config.batch_size)
    if config.learning_rate <= 0.0:
        raise UserError(f"learning_rate must be above 0, found {config.learning_rate}")


def fit(key: Key, config: Config, policy: Policy, demos: Demonstrations) -> PyTree:
    """The parameters of a learner's policy after cloning; its critic is left as it was."""
    actions_for(demos, "cloning")
    assert policy.log_prob is not None  # policies of networks all have it
    likelihood = policy.log_prob
    params = policy.params
    if "obs_moments" in params:
        found = moments_of(demos, lambda steps: steps.obs)
        params = params | {"obs_moments": cloning.moments(found)}

    def loss(network: PyTree, key: Key) -> Array:
        steps = sample(key, demos, config.batch_size)
        return -likelihood(params | {"network": network}, steps).mean()

    transform = cloning.optimiser(
        jnp.float32(config.learning_rate), jnp.float32(config.weight_decay)
    )
    network = params["network"]
    network, _, _ = cloning.fit(
        key, transform, network, transform.init(network), loss, config.updates
    )
    return params | {"network": network}
